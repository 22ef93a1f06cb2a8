module {
  "about": "Guesty, legacy and v2 webhooks: official documentation for names and legacy bodies (open-api-docs.guesty.com); the v2 body is read from public code and always fetched, but for cancels.",
  "id": "meta.eventId",
  "type": ["event"],
  "verify": {"method": "standard-webhooks"},
  "fetch": {
    "url": "https://open-api.guesty.com/v1", "auth": "oauth2", "token_url": "https://open-api.guesty.com/oauth2/token", "scopes": ["open-api"], "per_second": 2,
    "documents": {
      "reservation": {
        "path": "/reservations/{id}?fields=_id%20listingId%20guestId%20status%20confirmationCode%20checkIn%20checkOut%20checkInDateLocalized%20checkOutDateLocalized%20plannedArrival%20plannedDeparture%20lastUpdatedAt%20stay%20listing.timezone%20guest.fullName%20guest.email%20guest.phone%20money.isFullyPaid%20money.balanceDue",
        "require": "_id"
      }
    }
  }
};

def classes: {
  "confirmed": "confirmed", "checked_in": "checked_in", "checked_out": "checked_out", "no_show": "no_show",
  "canceled": "cancelled", "cancelled": "cancelled", "closed": "cancelled", "declined": "cancelled", "expired": "cancelled",
  "reserved": "pending", "awaiting_payment": "pending", "inquiry": "inquiry"
};

# The instant is Guesty's own. An hour that was agreed with the guest makes access begin earlier or end later, never the other
# way.
def moment(planned; date; instant; zone): {date: date, time: (planned | nonempty), time_zone: (zone | nonempty), official: instant}
  | .date |= day | if .time == null and .official != null then del(.time_zone) else . end;

# The units of a stay that moves while it lasts.
def segments: [.stay | list[] | obj | select(.unitId // .listingId)
  | {listing_id: (.unitId // .listingId), from: (.checkIn // .checkInDateLocalized), until: (.checkOut // .checkOutDateLocalized)}]
  | if length > 1 then . else [] end;

def reservation: obj | (.guest | obj) as $guest | (.listing | obj | .timezone) as $zone | segments as $segments | {reservation: ({
    reservation_id: ._id,
    listing_id: (.listingId | room_of(._id)),
    status: (.status | class_by(classes)),
    pms_status: .status,
    guest_id: (.guestId // $guest._id),
    guest_email: first_nonempty($guest.email, $guest.emails),
    guest_name: first_nonempty($guest.fullName, name_of($guest.firstName, $guest.lastName)),
    guest_phone: first_nonempty($guest.phone, $guest.phones),
    check_in: moment(.plannedArrival; .checkInDateLocalized; .checkIn; $zone),
    check_out: moment(.plannedDeparture; .checkOutDateLocalized; .checkOut; $zone),
    segments: $segments,
    gates: (.money | obj | {paid: ((.isFullyPaid | gate_of_flag) // (.balanceDue | gate_of_balance))}) + {checked_in: gate_of_check_in(.status | class_by(classes))},
    version: .lastUpdatedAt
  } | keeps_room)};

if .fetched.reservation then .fetched.reservation[] | reservation
else .body | obj
  | (.event | word) as $event
  | (.listing | obj) as $listing
  | (.data | obj) as $data
  | if $event == "listing.removed" then {listing: {listing_id: $listing._id, deleted: true}}
    elif ($event | IN("listing.new", "listing.updated")) then
      {listing: {listing_id: $listing._id, name: first_nonempty($listing.nickname, $listing.title), time_zone: ($listing.timezone | nonempty),
        check_in_time: ($listing.defaultCheckInTime | nonempty), check_out_time: ($listing.defaultCheckOutTime | nonempty)}}
    elif ($event | IN("guest.updated", "guest.created")) then .guest | obj
      | {guest: {guest_id: ._id, guest_email: first_nonempty(.email, .emails), guest_name: first_nonempty(.fullName, name_of(.firstName, .lastName)),
          guest_phone: first_nonempty(.phone, .phones)}}
    elif .reservation and ($event == "" or ($event | startswith("reservation."))) then .reservation | reservation
    elif ($event | IN("reservation.created.v2", "reservation.updated.v2")) then
      first_id($data.reservationId, ($data.reservation | obj | .id), $data.id) as $id
      | ($data.status | class_by(classes)) as $class
      # What takes a key away waits for no document.
      | if $class | takes_away then {reservation: {reservation_id: $id, status: $class, pms_status: $data.status, version: (.meta | obj | .publishedAt)}}
        else {fetch: {kind: "reservation", id: $id, reservation_id: $id}} end
    else {ignore: "\(.event) is about nothing that a key depends on"} end
end
