"""From values to rows and back: what changed, in chunks, packed and encrypted."""
