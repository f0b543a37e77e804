-- For wrk: sends the body that is named behind "--", and prints figures that a program can read.

function init(arguments)
  local file = assert(io.open(arguments[1], "rb"))
  wrk.method = "POST"
  wrk.body = file:read("*a")
  file:close()
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format("calls=%d failed=%d microseconds=%d p50=%d p99=%d\n",
    summary.requests, failed, summary.duration, latency:percentile(50), latency:percentile(99)))
end
