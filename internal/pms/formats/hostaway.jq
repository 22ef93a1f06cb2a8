module {
  "about": "Hostaway, unified webhooks: official documentation (github.com/Hostaway/api) and captured payloads.",
  "type": ["event"],
  "verify": {"method": "basic"}
};

def classes: {
  "new": "confirmed", "modified": "confirmed", "ownerStay": "confirmed",
  "cancelled": "cancelled", "declined": "cancelled", "expired": "cancelled",
  "pending": "pending", "awaitingPayment": "pending", "awaitingGuestVerification": "pending", "unconfirmed": "pending",
  "inquiry": "inquiry", "inquiryPreapproved": "inquiry", "inquiryDenied": "inquiry", "inquiryTimedout": "inquiry", "inquiryNotPossible": "inquiry"
};

.body | obj
| (if (.data | type) == "object" then .data else .payload | obj | .data | obj end) as $r
| (.object | word) as $object
| if .data == "test" then {ping: true}
  # Without what it is about, an event is named by its type.
  elif $object != "reservation" and ($object != "" or (.event | word | startswith("reservation") | not)) then {ignore: "\(.object) is about nothing that a key depends on"}
  else {reservation: ({
    reservation_id: ($r.id | id),
    listing_id: ($r.listingMapId | room),
    status: ($r.status | class_by(classes)),
    pms_status: $r.status,
    guest_email: $r.guestEmail,
    guest_name: first_nonempty($r.guestName, name_of($r.guestFirstName, $r.guestLastName)),
    guest_phone: $r.phone,
    guest_language: $r.guestLocale,
    check_in: local($r.arrivalDate; $r.checkInTime),
    check_out: local($r.departureDate; $r.checkOutTime),
    gates: {paid: (($r.isPaid | gate_of_flag) // ($r.remainingBalance | gate_of_balance))},
    version: $r.updatedOn
  } | keeps_room)} end
