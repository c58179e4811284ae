"""ask.py URL METHOD PATH [FILE [TYPE]]: one request. Status, then headers with names in lower case, on standard output; the body on
descriptor 3."""
import http.client
import os
import sys

url, method, path, *more = sys.argv[1:]
connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
body = open(more[0], "rb").read() if more else None
connection.request(method, path, body, {"Content-Type": more[1]} if len(more) > 1 else {})
answer = connection.getresponse()
print(answer.status)
for name, value in answer.getheaders():
    print("%s: %s" % (name.lower(), value))
with os.fdopen(3, "wb") as out:
    out.write(answer.read())
