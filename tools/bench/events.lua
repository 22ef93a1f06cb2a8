-- For wrk: reservations, each with ids of its own, signed as a PMS would sign them.
--   wrk ... -s events.lua URL -- KEY RUN LISTINGS [PAUSE [REPEATED [GATES]]]
-- KEY is the secret in hex, RUN makes the ids of this run unique, PAUSE is milliseconds between the requests of a connection,
-- REPEATED is how many of a hundred requests are one of the last hundred again, GATES is true to open the gate "paid".
-- wrk is linked with OpenSSL, so that signing costs no more here than it does anywhere.
local ffi = require("ffi")
ffi.cdef[[
const void *EVP_sha256(void);
unsigned char *HMAC(const void *md, const void *key, int key_len, const unsigned char *d, size_t n, unsigned char *out, unsigned int *len);
int EVP_EncodeBlock(unsigned char *t, const unsigned char *f, int n);
]]
local digest, encoded, length = ffi.new("unsigned char[32]"), ffi.new("unsigned char[48]"), ffi.new("unsigned int[1]")
local sequence, earlier = 0, {}
local filler = string.rep("The guest asks for a quiet room. ", 20)

threads = 0 -- of setup; each thread's own environment has number

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

function init(args)
  key = args[1]:gsub("%x%x", function(h) return string.char(tonumber(h, 16)) end)
  run, listings, pause, repeated = args[2], tonumber(args[3]), tonumber(args[4] or "0"), tonumber(args[5] or "0")
  gates = args[6] == "true" and '"gates":{"paid":"open"},' or ""
  math.randomseed(number + 1)
  if pause > 0 then
    delay = function() return pause end
  end
end

local function event()
  sequence = sequence + 1
  local id, now = run .. "-" .. number .. "-" .. sequence, os.time()
  local month, day = math.random(1, 12), math.random(1, 25)
  local body = string.format(
    '{"type":"reservation.created","timestamp":"%s","data":{"reservation_id":"%s","guest_email":"guest-%s@example.com","guest_name":"Jane Example",' ..
    '"listing_id":"listing-%d","check_in":"2031-%02d-%02dT15:00:00.000Z","check_out":"2031-%02d-%02dT11:00:00.000Z",%s"notes":"%s"}}',
    os.date("!%Y-%m-%dT%H:%M:%S.000Z", now), id, id, math.random(1, listings), month, day, month, day + 3, gates, filler)
  local signed = id .. "." .. now .. "." .. body
  ffi.C.HMAC(ffi.C.EVP_sha256(), key, #key, signed, #signed, digest, length)
  return wrk.format("POST", nil, {
    ["Content-Type"] = "application/json", ["webhook-id"] = id, ["webhook-timestamp"] = now,
    ["webhook-signature"] = "v1," .. ffi.string(encoded, ffi.C.EVP_EncodeBlock(encoded, digest, 32)),
  }, body)
end

function request()
  if repeated > 0 and #earlier == 100 and math.random(1, 100) <= repeated then
    return earlier[math.random(1, 100)]
  end
  local r = event()
  if repeated > 0 then
    earlier[sequence % 100 + 1] = r
  end
  return r
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('\n{"requests":%d,"duration_us":%d,"refused":%d,"broken":%d,"p50_us":%d,"p99_us":%d}\n',
    summary.requests, summary.duration, e.status, e.connect + e.read + e.write + e.timeout, latency:percentile(50), latency:percentile(99)))
end
