"""All forms of other libraries that maskkit's masks take."""
