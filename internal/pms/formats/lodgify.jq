module {
  "about": "Lodgify, webhooks v1: captured payloads; the signature is sourced from public code.",
  "type": ["action"],
  "verify": {"method": "hmac", "header": "ms-signature", "algorithm": "sha256", "encoding": "hex", "prefix": "sha256="}
};

# An open booking is one that no longer blocks the calendar: it was taken back.
def classes: {"Booked": "confirmed", "Declined": "cancelled", "Open": "cancelled", "Tentative": "pending"};

.body
| (if type == "array" then .[] else . end)
| if (.action // "" | startswith("booking_") | not) or (.action | startswith("booking_payment")) or .booking == null
  then {ignore: "\(.action) is about nothing that a key depends on"}
  else {reservation: {
    reservation_id: (.booking.id | id),
    listing_id: (.booking.property_id | id),
    status: (.booking.status | class_by(classes)),
    pms_status: .booking.status,
    guest_id: .guest.uid,
    guest_email: .guest.email,
    guest_name: .guest.name,
    guest_phone: .guest.phone_number,
    check_in: local(.booking.date_arrival; null),
    check_out: local(.booking.date_departure; null)
  } | if .listing_id == null then del(.listing_id) else . end} end
