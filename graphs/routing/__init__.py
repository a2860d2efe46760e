"""Who works next: rules from needs and gives, plans, progress."""
