"""Arrays of NumPy, Torch, JAX and Keras: told apart, compared, looked up, made."""

from maskkit.arrays.fields import as_array as as_array
from maskkit.arrays.fields import by_content as by_content
from maskkit.arrays.indices import maximum as maximum
from maskkit.arrays.indices import minimum as minimum
from maskkit.arrays.indices import take as take
from maskkit.arrays.libraries import fetched as fetched
from maskkit.arrays.libraries import host as host
from maskkit.arrays.libraries import is_array as is_array
from maskkit.arrays.libraries import library as library
from maskkit.arrays.libraries import namespace as namespace
