"""The optimizer's rules, one a file, each a pure function from plan to plan."""
