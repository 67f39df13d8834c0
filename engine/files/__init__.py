"""Files and objects in SQL: functions, statements and the bytes behind the column `content`."""
