module {
  "about": "Hostfully: official list of events and fields (dev.hostfully.com). Leads are fetched.",
  "accepts": ["json", "form"],
  "type": ["event_type"],
  "verify": {"method": "url-token"},
  "fetch": {
    "url": "https://platform.hostfully.com/api/v3", "auth": "header", "header": "X-HOSTFULLY-APIKEY", "per_second": 2,
    "documents": {"lead": {"path": "/leads/{id}"}}
  }
};

def class: str | if test("^(BOOKED|PAID_IN_FULL)") then "confirmed"
  elif . == "STAY" then "checked_in"
  elif test("^CANCELL?ED"; "i") or IN("DECLINED", "CLOSED", "IGNORED", "HOLD_EXPIRED", "CLOSED_HOLD") then "cancelled"
  elif IN("PENDING", "ON_HOLD", "ARCHIVED") then "pending"
  elif IN("NEW", "QUOTE_SENT", "CLOSED_QUOTE") then "inquiry"
  elif . == "BLOCKED" then "block" else class_by({}) end;

# What is no booking never makes a key, whatever its status says.
def class_of_lead: (.status | class) as $class
  | (.type | str | ascii_upcase) as $type
  | if $type == "BOOKING" or ($class == "cancelled" and $type != "INQUIRY") then $class
    elif $type == "BLOCK" then "block"
    elif $type | IN("INQUIRY", "BOOKING_REQUEST") then "inquiry" else "other" end;

if .fetched.lead then .fetched.lead[] | obj | (if (.lead | type) == "object" then .lead else . end)
  # An answer without a lead says nothing: it is asked for again.
  | select(.uid | id != null)
  | (.guestInformation | obj) as $guest
  | {reservation: ({
      reservation_id: .uid,
      listing_id: (.propertyUid | room),
      status: class_of_lead,
      pms_status: .status,
      guest_email: $guest.email,
      guest_name: name_of($guest.firstName, $guest.lastName),
      guest_phone: first_nonempty($guest.phoneNumber, $guest.cellPhoneNumber),
      check_in: .checkInLocalDateTime,
      check_out: .checkOutLocalDateTime,
      # Other booked statuses don't show that a channel has collected the money.
      gates: {paid: (if .status == "PAID_IN_FULL" then "open" else null end), checked_in: (if .status == "STAY" then "open" else null end)},
      version: .updatedUtcDateTime
    } | keeps_room)}
else .body | obj
  | (.event_type | str | ascii_upcase) as $event
  | if ($event | IN("NEW_BOOKING", "BOOKING_UPDATED", "UNIT_CHANGED", "NEW_BOOKING_REQUEST")) then {fetch: {kind: "lead", id: .lead_uid, reservation_id: .lead_uid}}
    elif $event == "BOOKING_CANCELLED" then {reservation: {reservation_id: .lead_uid, status: "cancelled", pms_status: $event}}
    elif $event == "DELETED_PROPERTY" then {listing: {listing_id: .property_uid, deleted: true}}
    else {ignore: "\(.event_type) is about nothing that a key depends on"} end
end
