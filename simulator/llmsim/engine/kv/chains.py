"""Which KV blocks hold what: chains of hashed blocks with reference counts, and the order they are forgotten in.

A trace's hash block is many KV blocks, and all of them mostly come and go together. So blocks are kept in pieces:
runs of KV blocks of one hash block that the same requests hold. A piece is cut where a request holds only its start.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable

from llmsim.engine.request import Request


class Piece:
    """KV blocks of one hash block that follow one another.

    Attributes:
        key: The hash block.
        count: How many they are.
        holders: Requests that hold all of them.
        next: The piece that goes on from here in the same hash block; None for the last.
    """

    __slots__ = ("count", "holders", "key", "next")

    def __init__(self, key: Hashable, count: int, holders: int) -> None:
        self.key = key
        self.count = count
        self.holders = holders
        self.next: Piece | None = None


class Chains:
    """Cached blocks by what they hold.

    Whoever holds a piece holds all before it in its chain, so the end of a chain is always forgotten first, and
    the blocks of a hash block that are cached are its first ones.

    Attributes:
        idle: Cached blocks that nobody holds.
        pieces: Hash block to its first piece. Blocks that no hash names go by the request that made them.
        queue: Pieces that nobody holds, the first to be forgotten first.
        named: Request to how many blocks from its start are in pieces that it holds; its others are its own.
        forgetting: Told of each hash block that is to lose blocks, with how many it still has.
    """

    def __init__(self, block_size: int) -> None:
        self.block_size = block_size
        self.idle = 0
        self.pieces: dict[Hashable, Piece] = {}
        self.queue: OrderedDict[Piece, None] = OrderedDict()
        self.named: dict[Request, int] = {}
        self.forgetting: Callable[[Hashable, int], None] | None = None
        self._second_copies: set[Request] = (
            set()
        )  # who computed what another one holds: it names nothing more

    def match(self, req: Request) -> tuple[int, int]:
        """Blocks from the start of ``req`` that are cached, and how many of them nobody holds. Pure query."""
        size, unit, pieces = self.block_size, req.hash_tokens, self.pieces
        limit, most = named_tokens(req), (req.prefill_target - 1) // size
        count = idle = end = 0
        for key in (*req.hash_ids, req):
            end += unit
            piece = pieces.get(key)
            while piece is not None:
                count += piece.count
                if not piece.holders:
                    idle += piece.count
                if count >= most:
                    return most, idle if piece.holders else idle - (count - most)
                piece = piece.next
            if count < (end if end < limit else limit) // size:
                break
        return count, idle

    def hold(self, req: Request, count: int) -> None:
        """``req`` comes in and shares the first ``count`` blocks of its chain, which are cached."""
        self.named[req] = count
        for key in (*req.hash_ids, req):
            before, piece = None, self.pieces.get(key) if count else None
            while piece is not None and count:
                if piece.count > count:
                    piece = self._cut(piece, count, before)
                elif not piece.holders:
                    del self.queue[piece]
                    self.idle -= piece.count
                piece.holders += 1
                count -= piece.count
                before, piece = piece, piece.next

    def _cut(self, piece: Piece, count: int, before: Piece | None) -> Piece:
        """The first ``count`` blocks of ``piece``, after ``before``, as one that is not queued; the rest stays."""
        start = Piece(piece.key, count, piece.holders)
        start.next = piece
        piece.count -= count
        if not piece.holders:
            self.idle -= count
        if before is None:
            self.pieces[piece.key] = start
        else:
            before.next = start
        return start

    def name(self, req: Request, tokens: int) -> None:
        """The full blocks of ``req``'s first ``tokens`` tokens are cached from now on, as far as hashes name them."""
        size, unit, ids, pieces = self.block_size, req.hash_tokens, req.hash_ids, self.pieces
        place, limit = self.named[req], named_tokens(req)
        stop = (tokens if tokens < limit else limit) // size
        if place >= stop or req in self._second_copies:
            return
        at = (
            -(-(place + 1) * size // unit) - 1
        )  # the hash block that the last token of KV block `place` is in
        start = at * unit // size
        while place < stop:
            key = ids[at]
            at += 1
            end = at * unit // size
            end = end if end < stop else stop
            if end > place:
                if key not in pieces:
                    pieces[key] = Piece(key, end - place, 1)
                elif not self._append(key, place - start, end - place):
                    self._second_copies.add(req)
                    break
                place = end
            start = end
        self.named[req] = place

    def _append(self, key: Hashable, place: int, count: int) -> bool:
        """``count`` blocks of ``key`` from its ``place``-th on, by one who holds those before them.

        Copies that nobody holds make way, as the new ones have been used last; where one is held, returns False.
        """
        last, piece = None, self.pieces.get(key)
        while piece is not None and place:
            place -= piece.count
            last, piece = piece, piece.next
        if not self._drop(piece):
            return False
        if last is None:
            self.pieces[key] = Piece(key, count, 1)
        elif last.holders == 1:
            last.count += count
            last.next = None
        else:
            last.next = Piece(key, count, 1)
        return True

    def _drop(self, piece: Piece | None) -> bool:
        """Nobody finds ``piece`` and those after it again, unless somebody holds one of them: then False."""
        others = []
        while piece is not None:
            if piece.holders:
                return False
            others.append(piece)
            piece = piece.next
        for each in others:
            del self.queue[each]
            self.idle -= each.count
        return True

    def release(self, req: Request, written: int) -> int:
        """``req``, of which ``written`` tokens are computed, goes; returns how many blocks are free with it."""
        self.name(req, written)
        if req in self._second_copies:
            self._second_copies.discard(req)
        else:
            self._name_the_rest(req, written // self.block_size)
        count = self.named.pop(req)
        freed, held = req.blocks - count, []
        for key in (*req.hash_ids, req):
            piece = self.pieces.get(key) if count else None
            while piece is not None and count:
                held.append(piece)
                count -= piece.count
                piece = piece.next
        queue, idle = self.queue, 0
        for piece in reversed(held):
            piece.holders -= 1
            if not piece.holders:
                queue[piece] = None
                idle += piece.count
        self.idle += idle
        return freed + idle

    def _name_the_rest(self, req: Request, stop: int) -> None:
        """Blocks that no hash names are cached too, for ``req`` itself, should it come back."""
        place, first = self.named[req], named_tokens(req) // self.block_size
        if stop > place >= first:
            self._append(req, place - first, stop - place)
            self.named[req] = stop

    def evict(self, count: int) -> None:
        """Forget ``count`` of the blocks that nobody holds."""
        self.idle -= count
        queue, pieces = self.queue, self.pieces
        while count:
            piece, _ = queue.popitem(last=False)
            if self.forgetting:
                self.forgetting(piece.key, self.cached(piece.key))
            if piece.count > count:
                piece.count -= count
                queue[piece] = None
                queue.move_to_end(piece, last=False)
                return
            count -= piece.count
            if pieces[piece.key] is piece:
                del pieces[piece.key]
            else:
                self._unlink(piece)

    def cached(self, key: Hashable) -> int:
        """Blocks of ``key`` that are cached, held or not. Pure query."""
        count, piece = 0, self.pieces.get(key)
        while piece is not None:
            count += piece.count
            piece = piece.next
        return count

    def _unlink(self, piece: Piece) -> None:
        """``piece``, the last of its hash block but not the only one, is no longer there."""
        before = self.pieces[piece.key]
        while before.next is not piece:
            assert before.next is not None
            before = before.next
        before.next = None


def named_tokens(req: Request) -> int:
    """How many of ``req``'s first tokens its hashes name; the last may name less than the others. Pure query."""
    named, prompt = len(req.hash_ids) * req.hash_tokens, req.input_tokens
    return prompt if 0 <= named - prompt < req.hash_tokens else named
