"""The router that goes by tokens instead of by requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from llmsim.engine.request import Request
from llmsim.sim.replica import Replica
from llmsim.sim.routers.base import Router, Setting
from llmsim.sim.routers.loads import LoadOptions, Snapshots
from llmsim.spec.base import Strict


class LeastTokens(Router):
    """The replica whose requests have the fewest tokens so far; the first of equals.

    A request counts with its prompt and what it has generated: what of that is computed lies in the KV
    cache, the rest is still to be computed. What it will generate is nobody's to know. SGLang's servers
    report the same sum for load balancing (KV tokens in use and prompts waiting).

    A replica's tokens only rise until a request leaves it, so what was last seen of it is never too
    high: only replicas that look like the least are looked at again.
    """

    Options = LoadOptions
    options: LoadOptions
    watches = True

    def __init__(self, replicas: Sequence[Replica], options: Strict | None, setting: Setting) -> None:
        super().__init__(replicas, options, setting)
        self._snapshots = Snapshots(self.options, setting)
        self._sent: Counter[Replica] = Counter()
        """Tokens that came to each replica with its requests, less all that left it: without its own."""
        self._known = [self._tokens(replica) for replica in self.replicas]
        self._number_off()

    def choose(self, req: Request) -> Replica:
        """See :class:`Router`."""
        known = self._known
        if not self._snapshots.are_live:
            if self._snapshots.is_due():
                known[:] = map(self._tokens, self.replicas)
            return self.replicas[known.index(min(known))]
        while True:
            least = min(known)
            position = known.index(least)
            tokens = self._tokens(self.replicas[position])
            if tokens <= least:
                return self.replicas[position]
            known[position] = tokens

    def sent(self, req: Request, replica: Replica) -> None:
        """See :class:`Router`."""
        tokens = req.input_tokens + req.generated
        self._sent[replica] += tokens
        position = self._positions.get(replica)
        if position is not None and (self._snapshots.are_live or self._snapshots.counts_own):
            self._known[position] += tokens

    def gone(self, requests: Sequence[Request], replica: Replica) -> None:
        """See :class:`Router`."""
        self._sent[replica] -= sum(req.input_tokens + req.generated for req in requests)
        position = self._positions.get(replica)
        if position is not None and self._snapshots.are_live:
            self._known[position] = self._tokens(replica)

    def joined(self, replica: Replica) -> None:
        """See :class:`Router`."""
        super().joined(replica)
        self._known.append(self._tokens(replica))
        self._number_off()

    def left(self, replica: Replica) -> None:
        """See :class:`Router`."""
        del self._known[self._positions[replica]]
        super().left(replica)
        self._number_off()

    def _tokens(self, replica: Replica) -> int:
        return self._sent[replica] + replica.num_generated

    def _number_off(self) -> None:
        self._positions = {replica: position for position, replica in enumerate(self.replicas)}
