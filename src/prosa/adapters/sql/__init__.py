"""Everything Prosa keeps, in SQL: PostgreSQL and SQLite from the same tables."""
