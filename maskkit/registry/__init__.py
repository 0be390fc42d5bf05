"""What can be registered, who offers it, and how it is found."""
