"""Where other libraries meet masks; each module is imported only by those who have the library."""
