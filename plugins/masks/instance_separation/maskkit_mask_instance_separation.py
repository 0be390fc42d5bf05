"""Instance separation: a pixel that one instance claims is blocked for all others."""

from functools import cached_property
from typing import Any

from attrs import field, frozen
from maskkit import Mask, array, as_array, by_content, hookimpl, host, probability, take
from maskkit.arrays import namespace


@frozen(kw_only=True)
class InstanceSeparation(Mask):
    """A pixel of a query is allowed unless another query is the strongest there, and stronger than the threshold.

    Of queries that are equally strong, the first one counts. So no two queries keep a pixel that one of them claims.

    Source: Cheng et al. 2021 (MaskFormer), arXiv:2107.06278, section 3.4, for giving each pixel to one query.

    Attributes:
        mask_predictions: floats (batch, num_queries, height, width) of any array library, the probability that a pixel
            belongs to the instance of a query.
        separation_threshold: a pixel is claimed if its largest probability is above this.
    """

    name = "instance_separation"
    axes = ("batch", "query", "height", "width")
    samples = (
        dict(
            mask_predictions=[
                [
                    [[1.0, 0.9, 0.8, 0.6, 0.2, 0.0], [0.9, 0.9, 0.7, 0.4, 0.1, 0.0]],
                    [[0.0, 0.2, 0.4, 0.7, 0.9, 1.0], [0.0, 0.1, 0.3, 0.4, 0.9, 1.0]],
                ]
            ]
        ),
        dict(
            mask_predictions=[[[[0.2, 0.8]], [[0.4, 0.8]], [[0.3, 0.1]]], [[[0.9, 0.1]], [[0.8, 0.6]], [[0.7, 0.7]]]],
            separation_threshold=0.75,
        ),
    )
    mask_predictions: Any = field(converter=as_array, validator=array(ndim=4, dtype="floating"), eq=by_content)
    separation_threshold: float = field(default=0.5, validator=probability)

    @property
    def shape(self):
        return tuple(self.mask_predictions.shape)

    def allows(self, b, q, y, x):
        if host(self.mask_predictions) is None:
            owner, claimed = _claims(self.mask_predictions, self.separation_threshold)
        else:
            owner, claimed = self._host_claims
        return (take(owner, b, y, x) == q) | ~take(claimed, b, y, x)

    @cached_property
    def _host_claims(self):
        return _claims(host(self.mask_predictions), self.separation_threshold)

    @classmethod
    def recognize(cls, spans):
        allowed = spans.to_bool()
        claimed = ~allowed.all(axis=1, keepdims=True)  # by the one query that keeps the pixel
        return dict(mask_predictions=(allowed & claimed).astype("float64"))


def _claims(predictions, threshold):
    """For every pixel of a batch the strongest query, and whether it claims the pixel."""
    functions = namespace(predictions)
    return functions.argmax(predictions, axis=1), functions.amax(predictions, axis=1) > threshold


@hookimpl
def maskkit_masks():
    return [InstanceSeparation]
