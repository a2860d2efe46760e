"""The pace of endpoints: what they allow, as it is set, told or found out."""
