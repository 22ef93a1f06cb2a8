module {
  "about": "Beds24: official schema of its V2 booking webhook; V1 names ids only and is fetched.",
  "accepts": ["json", "query"],
  "type": ["action", "booking.status", "query:status"],
  "verify": {"method": "url-token"},
  "fetch": {
    "url": "https://beds24.com/api/v2", "auth": "header", "header": "token", "per_second": 1,
    "documents": {
      "booking": {
        "path": "/bookings?id={id}&includeInfoItems=true&status=confirmed&status=request&status=new&status=cancelled&status=black&status=inquiry",
        "require": "data"
      }
    }
  }
};

def classes: {
  "new": "confirmed", "confirmed": "confirmed", "checkedin": "checked_in", "checkedout": "checked_out",
  "cancelled": "cancelled", "request": "pending", "inquiry": "inquiry", "black": "block"
};

# A booking's second status makes a confirmed one a no-show, or one that waits for a place or for its payment.
def class: (.status | class_by(classes)) as $class
  | if .subStatus == "none" or ($class | IN("confirmed", "checked_in") | not) then $class
    else (.subStatus | str | ascii_downcase | gsub("[\\s_-]+"; "")) as $sub
      | if $sub == "noshow" then "no_show" elif $sub | test("^(waitlist|nonpayment)") then "pending" else $class end end;

# A guest's own hours, as lock connectors of Beds24 have them: over 24:00 is the next day, below 0 the day before. They are what
# the host wants the lock to do, not when the guest plans to come.
def own_hour(items; code): first(items | list[] | select((type == "object") and .code == code) | .text) // null;

# A unit 0 is a room that is not assigned yet. A part of another type stays, for staykey to refuse.
def unit_of_room: (.roomId | room) as $room | (.unitId | room) as $unit
  | if $unit == null then if .unitId == 0 or .unitId == "0" then null else $room end
    elif $room == null then $unit
    elif ($room | type) == "string" and ($unit | type) == "string" then "\($room)/\($unit)"
    else [$room, $unit] end;

def booking(items): .roomId as $room | {reservation: ({
    reservation_id: (.id | id),
    listing_id: unit_of_room,
    status: class,
    pms_status: .status,
    guest_email: .email,
    guest_name: name_of(.firstName, .lastName),
    guest_phone: first_nonempty(.mobile, .phone),
    guest_language: .lang,
    check_in: local(.arrival; own_hour(items; "ACCESS_STARTTIME")),
    check_out: local(.departure; own_hour(items; "ACCESS_ENDTIME")),
    gates: {checked_in: gate_of_check_in(class)},
    version: .modifiedTime
  } | if $room == null then keeps_room else . end)};

if .fetched.booking then .fetched.booking[] | obj | .data | (if type == "array" then .[] else . end) | obj | .infoItems as $items | booking($items)
  # The webhook that named it counts by when it came.
  | del(.reservation.version)
elif .query.bookid then
  if .query.status | word == "message" then {ignore: "a message is about nothing that a key depends on"}
  # A cancel needs no document: a stale one would undo it.
  elif .query.status | word | IN("cancel", "cancelled", "canceled") then
    {reservation: {reservation_id: .query.bookid, status: "cancelled", pms_status: .query.status}}
  else {fetch: {kind: "booking", id: .query.bookid, reservation_id: .query.bookid}} end
else (.body | obj) as $body
  | if $body.booking == null then {ignore: "\($body.action // "a webhook without a booking") is about nothing that a key depends on"}
    else $body.infoItems as $items | $body.booking | (if type == "array" then .[] else . end) | obj | booking($items) end
end
