"""The exchange of keys and of their gradients: one all-to-all each, by lists that were made once."""

from typing import Any

import torch
import torch.distributed as dist
from maskkit_kernel_context_parallel._roll_call import Watch

sent_bytes = 0
"""Bytes that this process gave to others so far: keys, values and their gradients."""


class Exchange:
    """Who sends which rows to whom, for one mask, shards and group, and the masks of both parts.

    Attributes:
        give: rows of this rank that others need, those for rank 0 first; places among its own rows.
        gives, takes: how many to and from every rank.
        order, disorder: from the order of arrival to that of keys, and back.
        own_mask, fetched_mask: of this rank's rows, over its own keys and over those it fetches.
        nbytes: what keeping it costs, as all ranks count it.
    """

    def __init__(
        self, give: Any, gives: list[int], takes: list[int], order: Any, masks: tuple[Any, Any], watch: Watch
    ) -> None:
        self.give, self.gives, self.takes = give, gives, takes
        self.order, self.disorder = order, order.argsort()
        self.own_mask, self.fetched_mask = masks
        self.watch = watch
        self.nbytes = 0
        self._work: Any = None

    def start(self, pairs: Any) -> Any:
        """Send from (B, heads, rows, widths); what `wait` fills, (keys, B, heads, widths)."""
        send = pairs.index_select(2, self.give).permute(2, 0, 1, 3).contiguous()
        received = send.new_empty((sum(self.takes), *send.shape[1:]))
        self._sent = send
        self._work = self._all_to_all(received, send, self.takes, self.gives)
        return received

    def wait(self) -> None:
        """Until it has arrived."""
        with self.watch:
            self._work.wait()
        self._work = self._sent = None

    def give_back(self, grad: Any, like: Any) -> Any:
        """Gradients of what was fetched to those who sent it, who add them up in float32 or better."""
        back = grad.new_empty((len(self.give), *grad.shape[1:]))
        grad = grad.contiguous()
        work = self._all_to_all(back, grad, self.gives, self.takes)
        with self.watch:
            work.wait()
        wide = torch.promote_types(like.dtype, torch.float32)
        total = torch.zeros(like.shape, dtype=wide, device=like.device)
        return total.index_add_(2, self.give, back.permute(1, 2, 0, 3).to(wide)).to(like.dtype)

    def _all_to_all(self, out: Any, given: Any, takes: list[int], gives: list[int]) -> Any:
        """As bytes, so that every backend takes every dtype."""
        global sent_bytes
        each = given[:1].numel() * given.element_size() if given.numel() else out[:1].numel() * out.element_size()
        sent_bytes += sum(gives) * each
        flat = [x.reshape(-1).view(torch.uint8) for x in (out, given)]
        sizes = [[count * each for count in counts] for counts in (takes, gives)]
        with self.watch:
            return dist.all_to_all_single(*flat, *sizes, group=self.watch.group, async_op=True)
