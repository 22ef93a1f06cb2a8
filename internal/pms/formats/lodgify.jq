module {
  "about": "Lodgify, webhooks v1: captured payloads; the signature is sourced from public code.",
  "type": ["action"],
  "verify": {"method": "hmac", "header": "ms-signature", "algorithm": "sha256", "encoding": "hex", "prefix": "sha256="}
};

# An open booking is one that no longer blocks the calendar: it was taken back. One that is new and open was never booked.
def class(action): if .status == "Open" and (action | startswith("booking_new")) then "inquiry"
  else .status | class_by({"Booked": "confirmed", "Declined": "cancelled", "Open": "cancelled", "Tentative": "pending"}) end;

.body
| (if type == "array" then .[] else . end)
| obj
| (.action | word) as $action
| (.guest | obj) as $guest
| .balance_due as $balance
| if ($action != "" and ($action | startswith("booking_") | not)) or ($action | startswith("booking_payment")) or .booking == null
  then {ignore: "\(.action) is about nothing that a key depends on"}
  else .booking | obj | {reservation: ({
    reservation_id: (.id | id),
    listing_id: (.property_id | room),
    status: class($action),
    pms_status: .status,
    guest_id: $guest.uid,
    guest_email: $guest.email,
    guest_name: $guest.name,
    guest_phone: $guest.phone_number,
    guest_language: .language,
    check_in: local(.date_arrival; null),
    check_out: local(.date_departure; null),
    gates: {paid: ($balance | gate_of_balance)}
  } | keeps_room)} end
