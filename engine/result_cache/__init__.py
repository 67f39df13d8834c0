"""The result cache: answers of immutable statements, given again."""
