"""What SQLAlchemy's dialect suite may ask for: the features of DuckDB's SQL, and what it lacks.

The suite reads it as `requirement_cls`. What is not named here keeps the suite's own default, which
is that a feature every database should have is there and a particular one is not.
"""

# SQLAlchemy's testing package has no types.
# mypy: disable-error-code="misc,no-untyped-call"

from __future__ import annotations

from typing import Any

from sqlalchemy.testing import exclusions
from sqlalchemy.testing.requirements import SuiteRequirements


def _here() -> property:
    return property(lambda _: exclusions.open())


def _lacking() -> property:
    return property(lambda _: exclusions.closed())


class Requirements(SuiteRequirements):
    """The features, by the suite's names."""

    # Statements
    create_table_as = _here()
    create_temp_table_as = _here()
    table_ddl_if_exists = _here()
    index_ddl_if_exists = _here()
    create_or_replace_view = _here()
    schema_create_delete = _here()
    update_from = _here()
    delete_from = _here()
    ctes = _here()
    ctes_with_update_delete = _here()
    ctes_with_values = _here()
    ctes_on_dml = _here()
    savepoints = _here()
    two_phase_transactions = _lacking()

    # Expressions
    table_value_constructor = _here()
    tuple_in = _here()
    tuple_in_w_empty = _here()
    boolean_col_expressions = _here()
    nullsordering = _here()
    intersect = _here()
    except_ = _here()
    window_functions = _here()
    window_range = _here()
    window_range_numeric = _here()
    window_range_non_numeric = _here()
    aggregate_order_by = _here()
    order_by_label_with_expression = _here()
    mod_operator_as_percent_sign = _here()
    supports_distinct_on = _here()
    regexp_match = _here()
    regexp_replace = _here()
    supports_bitwise_or = _here()
    supports_bitwise_and = _here()
    supports_bitwise_not = _here()
    supports_bitwise_xor = _here()
    supports_bitwise_shift = _here()
    fetch_first = _here()
    fetch_percent = _here()
    fetch_no_order_by = _here()
    fetch_offset_with_options = _here()
    fetch_expression = _here()
    fetch_ties = _lacking()

    # Types
    uuid_data_type = _here()
    json_type = _here()
    array_type = _here()
    datetime_literals = _here()
    datetime_interval = _here()
    datetime_timezone = _here()
    datetime_timezone_historic = _here()
    datetime_historic = _here()
    date_historic = _here()
    time_timezone = _here()
    timestamp_microseconds = _here()
    infinity_floats = _here()
    precision_numerics_enotation_small = _here()
    precision_numerics_many_significant_digits = _here()
    precision_numerics_retains_significant_digits = _here()

    # Columns, constraints and names
    server_defaults = _here()
    expression_server_defaults = _here()
    computed_columns = _here()
    computed_columns_virtual = _here()
    computed_columns_reflect_persisted = _here()
    computed_columns_stored = _lacking()
    identity_columns = _lacking()
    unicode_ddl = _here()
    percent_schema_names = _here()
    repeated_remote_col_foreign_keys = _lacking()
    non_updating_cascade = _here()
    on_update_cascade = _lacking()
    recursive_fk_cascade = _lacking()

    # Reflection
    views = _here()
    temporary_views = _here()
    temp_table_names = _here()
    has_temp_table = _here()
    reflects_pk_names = _here()
    foreign_key_constraint_name_reflection = _here()
    check_constraint_reflection = _here()
    inline_check_constraint_reflection = _here()
    comment_reflection = _here()
    comment_reflection_full_unicode = _here()
    indexes_with_expressions = _here()
    reflect_indexes_with_expressions = _here()
    reflect_indexes_with_ascdesc = _lacking()  # an order that is asked for is forgotten
    cross_schema_fk_reflection = _lacking()
    implicit_default_schema = _here()
    default_schema_name_switch = _here()

    # Connections
    autocommit = _here()
    skip_autocommit_rollback = _here()
    isolation_level = _here()

    def get_isolation_levels(self, config: Any) -> dict[str, Any]:
        """The isolation levels, and which of them is the default."""
        return {"default": "SNAPSHOT", "supported": ["SNAPSHOT", "SERIALIZABLE", "AUTOCOMMIT"]}
