"""Transfers that share links, event by event and exact.

Between two events every transfer moves at a constant rate, so nothing is simulated between them: when a
transfer starts, ends or is taken away, the rates of those it may touch are solved anew, and one alarm
stands at the next end. Transfers that take the same way move alike and are kept together
(:class:`~llmsim.sim.transfers.Stream`), so a change costs as much as there are ways in use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import heapify, heappop, heappush
from itertools import count
from math import inf

from simpy.events import Event

from llmsim.errors import InvariantError
from llmsim.sim.clock import COMPLETION, Alarm, Clock
from llmsim.sim.links import Link, Path
from llmsim.sim.max_min import Demand, max_min_rates
from llmsim.sim.transfers import Status, Stream, Told, Transfer


class Network:
    """Moves bytes along paths; whoever shares a link shares it max-min fairly.

    A transfer has arrived when its last byte has been sent and the path's latency has passed. Changes of
    one moment are solved together.

    Example:
        >>> clock = Clock()
        >>> network = Network(clock)
        >>> cable = Path.through(Link("cable", bytes_per_s=1e9, latency_s=0.5))
        >>> for num_bytes in (1e9, 3e9):
        ...     _ = network.send(cable, num_bytes, lambda transfer: print(clock.now))
        >>> clock.run_all()
        2.5
        4.5
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._orders = count()
        self._streams: dict[tuple[object, float], Stream] = {}
        self._on_link: dict[Link, dict[Stream, None]] = {}
        self._changed: dict[Stream, None] = {}
        self._ends: list[tuple[float, int, Stream]] = []
        self._arriving: dict[Transfer, None] = {}
        self._alarm = Alarm(clock)

    def send(
        self,
        path: Path,
        num_bytes: float,
        done: Told,
        *,
        lost: Told | None = None,
        limit_bytes_per_s: float = inf,
    ) -> Transfer:
        """Start moving ``num_bytes`` along ``path``, now.

        Args:
            path: The way; no link twice.
            num_bytes: Zero takes the path's latency only.
            done: Told when the last byte has arrived; never from within this call.
            lost: Told when a link of the path fails before that. Without it, that is an error.
            limit_bytes_per_s: Most the transfer may have.

        Raises:
            InvariantError: A negative number of bytes, or a limit that is not positive.
        """
        if not (num_bytes >= 0 and limit_bytes_per_s > 0):
            raise InvariantError(f"a transfer of {num_bytes} bytes at up to {limit_bytes_per_s} bytes/s")
        now_s = self.clock.now
        transfer = Transfer(path, num_bytes, now_s, next(self._orders), done, lost)
        if not all(link.is_up for link, _ in path.hops):
            self._at(now_s, [transfer], self._lose)
        elif not num_bytes or limit_bytes_per_s == path.bytes_per_s == inf:
            transfer.leave(num_bytes)
            self._let_arrive([transfer])
        else:
            stream = self._stream(path, limit_bytes_per_s)
            stream.add(transfer, now_s)
            self._change(stream)
        return transfer

    def cancel(self, transfer: Transfer) -> None:
        """Stop ``transfer``; nobody is told. Nothing happens to one that has ended."""
        self._end(transfer, "cancelled")

    def fail(self, links: Iterable[Link]) -> None:
        """``links`` are gone for good: every transfer that has not arrived over them is lost, and told so.

        They are told in the order they were sent, after all of them have been taken away.
        """
        gone = dict.fromkeys(links)
        for link in gone:
            link.is_up = False
        streams = dict.fromkeys(stream for link in gone for stream in self._on_link.get(link, ()))
        hit = [transfer for stream in streams for transfer in stream.transfers()]
        hit += [t for t in self._arriving if not all(link.is_up for link, _ in t.path.hops)]
        hit.sort(key=lambda transfer: transfer.order)
        for transfer in hit:
            self._end(transfer, "lost")
        for transfer in hit:
            self._tell_lost(transfer)

    def set_capacity(self, link: Link, bytes_per_s: float) -> None:
        """``link`` carries ``bytes_per_s`` from now on; at zero its transfers wait.

        Raises:
            InvariantError: A capacity that is negative or infinite.
        """
        if not 0 <= bytes_per_s < inf:
            raise InvariantError(f"link {link.name} cannot carry {bytes_per_s} bytes/s")
        link.bytes_per_s = bytes_per_s
        for stream in self._on_link.get(link, ()):
            stream.look_at_capacities()
            self._change(stream)

    def bytes_per_s(self, transfer: Transfer) -> float:
        """The rate at which ``transfer`` moves now; zero when it does not move."""
        self._solve()
        return transfer.stream.bytes_per_s if transfer.stream else 0.0

    def _stream(self, path: Path, limit_bytes_per_s: float) -> Stream:
        """The stream of transfers like these."""
        key = (path.hops, limit_bytes_per_s)
        stream = self._streams.get(key)
        if stream is None:
            stream = self._streams[key] = Stream(path.hops, limit_bytes_per_s, self.clock.now)
            for link, _ in path.hops:
                self._on_link.setdefault(link, {})[stream] = None
        return stream

    def _end(self, transfer: Transfer, status: Status) -> None:
        """Take ``transfer`` away, unless it has ended."""
        if transfer.status not in ("moving", "arriving"):
            return
        transfer.status = status
        self._arriving.pop(transfer, None)
        if (stream := transfer.stream) is not None:
            stream.drop(transfer, self.clock.now)
            self._change(stream)

    def _lose(self, transfers: list[Transfer]) -> None:
        """``transfers`` were sent over links that had failed before."""
        for transfer in transfers:
            if transfer.status == "moving":
                transfer.status = "lost"
                self._tell_lost(transfer)

    @staticmethod
    def _tell_lost(transfer: Transfer) -> None:
        if transfer.lost is None:
            names = ", ".join(link.name for link, _ in transfer.path.hops if not link.is_up)
            raise InvariantError(f"a transfer over {names} is lost, and there is nobody to tell")
        transfer.lost(transfer)

    def _change(self, stream: Stream) -> None:
        """``stream`` is not what it was: rates are solved before time goes on."""
        if not self._changed:
            self.clock.at(self.clock.now, COMPLETION).callbacks.append(self._solve)
        self._changed[stream] = None

    def _solve(self, _: Event | None = None) -> None:
        """New rates for the streams that a change may touch, and the alarm for the next end."""
        if not self._changed:
            return
        now_s = self.clock.now
        touched = self._touched()
        demands = [Demand(stream.shared, stream.size, stream.limit_bytes_per_s) for stream in touched]
        for stream, bytes_per_s in zip(touched, max_min_rates(demands), strict=True):
            before_s = stream.end_s
            stream.move_at(bytes_per_s, now_s)
            if stream.end_s not in (before_s, inf):
                heappush(self._ends, (stream.end_s, next(self._orders), stream))
        self._stand()

    def _touched(self) -> list[Stream]:
        """The changed streams, and all that a chain of shared links joins to them; emptied ones are forgotten."""
        waiting, self._changed = list(self._changed), {}
        found = dict.fromkeys(waiting)
        links: set[Link] = set()
        for stream in waiting:  # which grows
            for link, _ in stream.shared:
                if link not in links:
                    links.add(link)
                    new = [other for other in self._on_link[link] if other not in found]
                    found.update(dict.fromkeys(new))
                    waiting += new
        for stream in waiting:
            if not stream.size:
                self._forget(stream)
        return [stream for stream in waiting if stream.size]

    def _forget(self, stream: Stream) -> None:
        """Nothing moves in ``stream`` any more."""
        stream.end_s = inf
        del self._streams[stream.hops, stream.limit_bytes_per_s]
        for link, _ in stream.hops:
            del self._on_link[link][stream]

    def _stand(self) -> None:
        """Put the alarm at the next end. Entries of ends that have moved since are skipped."""
        ends = self._ends
        if len(ends) > 64 + 4 * len(self._streams):
            ends[:] = [entry for entry in ends if entry[0] == entry[2].end_s]
            heapify(ends)
        while ends and ends[0][0] != ends[0][2].end_s:
            heappop(ends)
        next_s = ends[0][0] if ends else inf
        if next_s != self._alarm.time_s:
            self._alarm.callbacks = []  # it rings for no one
            self._alarm = self.clock.at(next_s, COMPLETION) if ends else Alarm(self.clock)
            self._alarm.callbacks.append(self._ring)

    def _ring(self, event: Event) -> None:
        """Some transfers have sent their last byte."""
        now_s = self.clock.now
        self._alarm = Alarm(self.clock)
        ended: list[Transfer] = []
        while self._ends and self._ends[0][0] <= now_s:
            end_s, _, stream = heappop(self._ends)
            if end_s == stream.end_s:
                ended += stream.take_ended(now_s)
                self._change(stream)
        ended.sort(key=lambda transfer: transfer.order)
        self._let_arrive(ended)

    def _let_arrive(self, transfers: list[Transfer]) -> None:
        """``transfers`` have sent their last byte now, and arrive when their latency has passed."""
        by_latency: dict[float, list[Transfer]] = {}
        for transfer in transfers:
            transfer.status = "arriving"
            self._arriving[transfer] = None
            by_latency.setdefault(transfer.path.latency_s, []).append(transfer)
        for latency_s, group in by_latency.items():
            self._at(self.clock.now + latency_s, group, self._arrive)

    def _at(self, time_s: float, transfers: list[Transfer], act: Callable[[list[Transfer]], None]) -> None:
        self.clock.at(time_s, COMPLETION).callbacks.append(lambda _: act(transfers))

    def _arrive(self, transfers: list[Transfer]) -> None:
        for transfer in transfers:
            if transfer.status == "arriving":
                transfer.status = "done"
                del self._arriving[transfer]
                transfer.done(transfer)
