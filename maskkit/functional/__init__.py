"""The functions known from mask and attention factories, thin over `maskkit.create`."""
