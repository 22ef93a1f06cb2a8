module {
  "about": "Hospitable, webhooks v2: official documentation (developer.hospitable.com).",
  "id": "id",
  "type": ["action"],
  "verify": {"method": "hmac", "header": "Signature", "algorithm": "sha256", "encoding": "hex"}
};

def classes: {"accepted": "confirmed", "cancelled": "cancelled", "not accepted": "cancelled", "not_accepted": "cancelled", "request": "pending"};

.body | obj
| .created as $version
| (.action | word) as $action
| (.data | obj) as $r
| if $action == "property.deleted" then {listing: {listing_id: $r.id, deleted: true, version: $version}}
  elif $action == "property.merged" then {merge: {from: $r.previous_id, into: $r.new_id, version: $version}}
  elif $action == "integration.disconnected" then {disconnected: "the host has disconnected this integration at Hospitable"}
  elif any([.triggers] | flatten[]; word == "test") then {ping: true}
  elif ($action | startswith("property.")) then
    # Its time zone is a fixed offset, which is wrong for half of the year: the source's or the listing's counts.
    {listing: {listing_id: $r.id, name: $r.name, check_in_time: ($r["check-in"] | nonempty), check_out_time: ($r["check-out"] | nonempty), version: $version}}
  elif ($action | startswith("reservation.")) or ($action == "" and $r.reservation_status != null) then
    ($r.reservation_status | obj | .current | obj | .category) as $category
    # The old field counts only for a cancel, and only where the new one can't be read.
    | ($category | class_by(classes)) as $class
    | (if $class == "other" and ($r.status | class_by(classes) == "cancelled") then {class: "cancelled", word: $r.status} else {class: $class, word: $category} end) as $status
    | ($r.guest | obj) as $guest
    | ($r.properties | list | map(if type == "object" then . else {id: .} end)) as $rooms
    # The booking's other rooms are gone only if all of its rooms are identified.
    | (($rooms | length) > 0 and all($rooms[]; .id | id != null)) as $all
    # A cancel is about the whole booking.
    | (if ($rooms | length) == 0 or ($status.class == "cancelled" and ($rooms | length) > 1) then [{}] else $rooms end)[]
    | {reservation: ({
        reservation_id: $r.id,
        # Rooms have no ids of their own in a booking: the property tells them apart.
        unit: (if $status.class == "cancelled" then null else .id end),
        rest: ($status.class == "cancelled" or $all),
        listing_id: .id,
        status: $status.class,
        pms_status: $status.word,
        guest_id: $guest.id,
        guest_email: $guest.email,
        guest_name: name_of($guest.first_name, $guest.last_name),
        guest_phone: $guest.phone_numbers,
        check_in: $r.check_in,
        check_out: $r.check_out,
        version: $version
      } | keeps_room)}
  else {ignore: "\(.action) is about nothing that a key depends on"} end
