"""Files and objects as relations."""
