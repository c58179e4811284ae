-- For wrk: load of the verifier service. Arguments after "--": MODE FILE [PATH]
--   static PATH    GET of PATH; or, with FILE, evidence in it posted to PATH: nothing is computed for a request
--   session        a new session for the nonce that the evidence in FILE answers (PATH says it), then the evidence to it
-- Prints one line of JSON.
local mode, evidence, path
local media_type = "application/cmw+cbor"
local open = {} -- sessions that were handed out and have had no evidence yet

function init(args)
    mode, path = args[1], args[3]
    if args[2] and args[2] ~= "-" then
        local file = assert(io.open(args[2], "rb"))
        evidence = file:read("*a")
        file:close()
    end
    if mode == "static" then
        wrk.path = path
        if evidence then
            wrk.method, wrk.body = "POST", evidence
            wrk.headers["Content-Type"] = media_type
        end
        local whole = wrk.format()
        request = function() return whole end
        return
    end
    local begin = wrk.format("POST", path)
    local headers = { ["Content-Type"] = media_type }
    request = function()
        local session = table.remove(open)
        if not session then return begin end
        return wrk.format("POST", session, headers, evidence)
    end
    response = function(status, got)
        if status == 201 then
            table.insert(open, "/challenge-response/v1/" .. (got["Location"] or got["location"]))
        end
    end
end

function done(summary, latency)
    local e = summary.errors
    io.write(string.format('{"requests": %d, "seconds": %.6f, "p50_us": %d, "p99_us": %d, "max_us": %d, "errors": %d}\n',
        summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99), latency.max,
        e.connect + e.read + e.write + e.status + e.timeout))
end
