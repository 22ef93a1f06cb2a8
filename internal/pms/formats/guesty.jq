module {
  "about": "Guesty, legacy and v2 webhooks: official documentation for names and legacy bodies (open-api-docs.guesty.com); the v2 body is read from public code and always fetched.",
  "id": "meta.eventId",
  "type": ["event"],
  "verify": {"method": "standard-webhooks"},
  "fetch": {
    "url": "https://open-api.guesty.com/v1", "auth": "oauth2", "token_url": "https://open-api.guesty.com/oauth2/token", "scopes": ["open-api"], "per_second": 2,
    "documents": {
      "reservation": {
        "path": "/reservations/{id}?fields=_id%20listingId%20guestId%20status%20confirmationCode%20checkIn%20checkOut%20checkInDateLocalized%20checkOutDateLocalized%20plannedArrival%20plannedDeparture%20lastUpdatedAt%20listing.timezone%20guest.fullName%20guest.email%20guest.phone",
        "modified": "lastUpdatedAt"
      }
    }
  }
};

def classes: {
  "confirmed": "confirmed", "checked_in": "checked_in", "checked_out": "checked_out",
  "canceled": "cancelled", "closed": "cancelled", "declined": "cancelled", "expired": "cancelled",
  "reserved": "pending", "awaiting_payment": "pending", "inquiry": "inquiry"
};

# The guest's own hour, where it was agreed, wins over the instant of the listing's.
def moment(planned; date; instant; zone): if (planned | said) != null and date != null then local(date; planned; zone) else instant end;

def reservation: . as $r | {reservation: {
    reservation_id: ._id,
    listing_id: .listingId,
    status: (.status | class_by(classes)),
    pms_status: .status,
    guest_id: (.guestId // .guest._id),
    guest_email: (.guest.email // (.guest.emails // [])[0]),
    guest_name: first_said(.guest.fullName, name_of(.guest.firstName, .guest.lastName)),
    guest_phone: (.guest.phone // (.guest.phones // [])[0]),
    check_in: moment(.plannedArrival; .checkInDateLocalized; .checkIn; .listing.timezone),
    check_out: moment(.plannedDeparture; .checkOutDateLocalized; .checkOut; .listing.timezone),
    version: .lastUpdatedAt
  } | if .listing_id == null then del(.listing_id) else . end};

if .fetched.reservation then .fetched.reservation[] | reservation
else .body
  | .event as $event
  | if $event == "listing.removed" then {listing: {listing_id: .listing._id, deleted: true}}
    elif ($event | IN("listing.new", "listing.updated")) then
      {listing: {listing_id: .listing._id, name: first_said(.listing.nickname, .listing.title), time_zone: (.listing.timezone | said),
        check_in_time: (.listing.defaultCheckInTime | said), check_out_time: (.listing.defaultCheckOutTime | said)}}
    elif ($event | IN("guest.updated", "guest.created")) then
      {guest: {guest_id: .guest._id, guest_email: .guest.email, guest_name: .guest.fullName, guest_phone: .guest.phone}}
    elif ($event // "" | startswith("reservation.")) and .reservation then .reservation | reservation
    elif ($event | IN("reservation.created.v2", "reservation.updated.v2")) then
      {fetch: {kind: "reservation", id: (.data.reservationId // .data.reservation.id // .data.id), as_of: .meta.publishedAt}}
    else {ignore: "\($event) is about nothing that a key depends on"} end
end
