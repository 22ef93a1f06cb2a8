"""Posts a reservation to staykey. Python 3.9 or newer, without other packages (the package standardwebhooks signs, too)."""
import base64, datetime, hashlib, hmac, json, os, sys, time, urllib.error, urllib.request, uuid

body = json.dumps({
    "type": "reservation.created", "timestamp": datetime.datetime.now(datetime.timezone.utc).isoformat(),
    "data": {
        "reservation_id": "3333122-433", "listing_id": "2222222-2222", "guest_email": "jane@example.com", "guest_name": "Jané Doe",
        "check_in": "2030-11-01T15:00:00Z", "check_out": "2030-11-04T11:00:00Z",
    },
}, ensure_ascii=False).encode()
event_id = str(uuid.uuid4())  # the same one when you send this event again
timestamp = str(int(time.time()))
key = base64.b64decode(os.environ["STAYKEY_WEBHOOK_SECRET"].removeprefix("whsec_"))
signature = base64.b64encode(hmac.new(key, f"{event_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()).decode()
request = urllib.request.Request(os.environ["STAYKEY_WEBHOOK_URL"], body, {
    "Content-Type": "application/json", "webhook-id": event_id, "webhook-timestamp": timestamp, "webhook-signature": "v1," + signature,
})
try:
    with urllib.request.urlopen(request) as answer:
        print(answer.status, answer.read().decode())
except urllib.error.HTTPError as refused:
    sys.exit(f"{refused.code} {refused.read().decode()}")
