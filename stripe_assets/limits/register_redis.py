"""The register of leases in Redis: one small hash a bucket, changed by a script that runs on the server, by the server's clock."""

from collections.abc import Sequence

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from stripe_assets.limits.registers import Address, Claim, Rival, Standing, Unreachable

ANSWER_WITHIN = 2.0
"""Seconds; a lease lasts longer, so one lost answer is no loss."""
FORGET_AFTER = 7 * 24 * 3600
"""Seconds after which an account that nobody used is forgotten."""

SCRIPT = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local owner, number = ARGV[1], tonumber(ARGV[2])
local hold, want, most, lasts = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])

-- A server that has lost everything does not know who uses seats: it waits until whatever it may have granted has ended.
redis.call('SET', KEYS[2], now, 'NX')
redis.call('EXPIRE', KEYS[2], ARGV[7])
local is_settled = now - tonumber(redis.call('GET', KEYS[2])) >= lasts

local mine, others, cap, answer = 0, 0, most, {}
local fields = redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
    local seats, wanted, limit, ends, latest = string.match(fields[i + 1], '(%d+) (%d+) (%d+) (%d+) (-?%d+)')
    if tonumber(ends) <= now then
        redis.call('HDEL', KEYS[1], fields[i])
    elseif fields[i] == owner then
        mine = tonumber(seats)
        if number < tonumber(latest) then return {mine, tostring(now), {}} end
    else
        others = others + tonumber(seats)
        cap = math.max(cap, tonumber(limit))
        answer[#answer + 1] = {fields[i], tonumber(wanted), tonumber(limit)}
    end
end
local held = math.min(hold, math.max(mine, cap - others))
if not is_settled then held = 0 end
redis.call('HSET', KEYS[1], owner, string.format('%d %d %d %.0f %d', held, want, most, now + lasts, number))
if redis.call('PTTL', KEYS[1]) < lasts then redis.call('PEXPIRE', KEYS[1], lasts) end
return {held, tostring(now), answer}
"""


class RedisRegister:
    """The leases of one account in one Redis server (5 or newer), in one round trip however many buckets."""

    def __init__(self, address: Address, *, account: str) -> None:
        """Connect, or raise `Unreachable`."""
        self.address = address
        self._keys = f"stripe-assets:{{{account}}}"
        timeouts = {"socket_timeout": ANSWER_WITHIN, "socket_connect_timeout": ANSWER_WITHIN}
        try:
            self._redis = redis.Redis.from_url(address.url, retry=Retry(NoBackoff(), 1), **timeouts)
            self._redis.ping()
        except (redis.RedisError, OSError, ValueError) as error:
            raise Unreachable(address.said(error)) from None  # what it was made from may name the password
        self._script = self._redis.register_script(SCRIPT)

    def claim(self, owner: str, number: int, claims: Sequence[Claim]) -> list[Standing]:
        """Write down what can be had of each claim; the script tells how."""
        pipeline = self._redis.pipeline(transaction=False)
        for claim in claims:
            keys = [f"{self._keys}:seats:{claim.bucket}", f"{self._keys}:since"]
            numbers = [number, claim.hold, claim.want, claim.most, round(claim.lasts * 1000), FORGET_AFTER]
            self._script(keys=keys, args=[owner, *numbers], client=pipeline)
        try:
            answers = pipeline.execute()
        except (redis.RedisError, OSError) as error:
            raise Unreachable(self.address.said(error)) from error
        return [_standing(*answer) for answer in answers]

    def close(self) -> None:
        """Let go of the connection."""
        self._redis.close()


def _standing(held: int, at: bytes, rivals: list[tuple[bytes, int, int]]) -> Standing:
    return Standing(held, tuple(Rival(owner.decode(), want, most) for owner, want, most in rivals), int(at) / 1000)
