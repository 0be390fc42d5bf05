"""FNet: tokens mixed by a Fourier transform, without a single weight."""

from attrs import field, frozen
from maskkit import Attention, hookimpl, lazy, non_negative, one_of


@frozen(kw_only=True)
class FNet(Attention):
    """The real part of the Fourier transform over tokens and channels.

    Every output depends on every token, so there is no causal mask and no mask of pairs. A mask of tokens zeroes
    padding before the transform and after it; the frequencies still depend on the padded length.

    Source: Lee-Thorp et al. 2021, arXiv:2105.03824, section 3.2.

    Attributes:
        implementation: "matrix" multiplies with tables of cosines and sines, "fft" is faster from some 500 tokens on;
            both give the same.
        normalize_dft: whether to divide by `sqrt(tokens * channels)`, which keeps the size of what goes through.
        epsilon: has no effect; configs hold it.
    """

    name = "fnet"
    layer_class = "maskkit_attention_fnet._layer:FNetFourierTransform"
    samples = (dict(), dict(implementation="fft"), dict(normalize_dft=False))
    shapes = "(B, T, C) -> (B, T, C)"
    masks = ("keys",)
    use_case = "A cheap stand-in for self-attention in encoders"
    implementation: str = field(default="matrix", validator=one_of("matrix", "fft"))
    normalize_dft: bool = True
    epsilon: float = field(default=1e-12, validator=non_negative)


@hookimpl
def maskkit_attention():
    return [FNet]


__getattr__ = lazy(__name__, "FNetFourierTransform")
