module {
  "about": "Uplisting: captured payloads. The event's name is not in the body: register each URL with ?event=...",
  "type": ["query:event"],
  "verify": {"method": "url-token"}
};

def classes: {"confirmed": "confirmed", "checked_in": "checked_in", "checked_out": "checked_out", "cancelled": "cancelled", "pending": "pending", "inquiry": "inquiry"};

.query.event as $event
| .body
| {reservation: {
    reservation_id: (.id | id),
    # The unit of a listing that has several; the key is misspelt at Uplisting.
    listing_id: ((.mutli_unit_id // .property_id) | id),
    # A removal has no status, but a reason.
    status: (if $event == "booking_removed" or (.status == null and .reason != null) then "cancelled" else .status | class_by(classes) end),
    pms_status: (.status // $event),
    guest_email: .guest_email,
    guest_name: .guest_name,
    guest_phone: .guest_phone,
    check_in: local(.check_in; .arrival_time),
    check_out: local(.check_out; .departure_time),
    version: .timestamp
  } | if .listing_id == null then del(.listing_id) else . end}
