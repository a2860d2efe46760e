"""The roles that remedy known vulnerabilities: scan, climb a ladder of fixes, scan again, and tell it from evidence."""
