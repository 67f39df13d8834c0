QUERY
│   took 5.2 ms
└── PROJECTION                                                            0.00 ms   0%  10 rows
    │   Projections: CAST(#0 AS BIGINT), #1
    │   about 11 rows
    └── PERFECT_HASH_GROUP_BY                ████████████████████████     2.91 ms  82%  10 rows
        │   Groups: #0
        │   Aggregates: count_star()
        │   about 11 rows
        └── PROJECTION                       ▏                            0.01 ms   0%  300,000 rows
            │   Projections: digit
            │   about 300,000 rows
            └── PROJECTION                   ▉                            0.11 ms   3%  300,000 rows
                │   Projections: CAST(#0 AS TINYINT)
                │   about 300,000 rows
                └── TABLE_SCAN main.numbers  ████▎                        0.51 ms  14%  300,000 rows
                        from: hot segment, 300,000 rows
                        row groups: 3 of 3
                        columns: digit
                        about 300,000 rows
                        native row groups read: 3 of 3
