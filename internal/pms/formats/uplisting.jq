module {
  "about": "Uplisting: captured payloads. The event's name is not in the body: register each URL with ?event=...",
  "type": ["query:event"],
  "verify": {"method": "url-token"}
};

# On the day of arrival a booking "needs check-in", on the day of departure it "needs check-out".
def classes: {
  "confirmed": "confirmed", "needs_check_in": "confirmed", "checked_in": "checked_in", "needs_check_out": "checked_in",
  "checked_out": "checked_out", "cancelled": "cancelled", "canceled": "cancelled", "pending": "pending", "inquiry": "inquiry"
};

(.query.event | word) as $event
| .body | obj
| {reservation: ({
    reservation_id: (.id | id),
    # The unit of a listing that has several; the key is misspelt at Uplisting.
    listing_id: ((.mutli_unit_id | nonempty) // .property_id | room),
    # A removal has no status, but a reason.
    status: (if $event == "booking_removed" or ((.status | str) == "" and (.reason | nonempty) != null) then "cancelled" else .status | class_by(classes) end),
    pms_status: (.status // ($event | nonempty)),
    guest_email: .guest_email,
    guest_name: .guest_name,
    guest_phone: .guest_phone,
    check_in: local(.check_in; .arrival_time),
    check_out: local(.check_out; .departure_time),
    gates: {checked_in: gate_of_check_in(.status | class_by(classes))},
    version: .timestamp
  } | keeps_room)}
