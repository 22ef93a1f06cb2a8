module {
  "about": "Hospitable, webhooks v2: official documentation (developer.hospitable.com).",
  "id": "id",
  "type": ["action"],
  "verify": {"method": "hmac", "header": "Signature", "algorithm": "sha256", "encoding": "hex"}
};

def classes: {"accepted": "confirmed", "cancelled": "cancelled", "not accepted": "cancelled", "request": "pending"};

.body
| .created as $version
| if .action == "property.deleted" then {listing: {listing_id: .data.id, deleted: true, version: $version}}
  elif .action == "property.merged" then {merge: {from: .data.previous_id, into: .data.new_id, version: $version}}
  elif .action == "integration.disconnected" then {disconnected: "the host has disconnected this integration at Hospitable"}
  elif .triggers == "test" then {ping: true}
  elif (.action // "" | startswith("property.")) then
    # Its time zone is a fixed offset, which is wrong for half of the year: the source's or the listing's counts.
    {listing: {listing_id: .data.id, name: .data.name, check_in_time: (.data["check-in"] | said), check_out_time: (.data["check-out"] | said), version: $version}}
  elif (.action // "" | startswith("reservation.")) then
    .data as $r
    | ($r.properties // []) as $rooms
    | (if ($rooms | length) == 0 then [{}] else $rooms end)[]
    | {reservation: {
        reservation_id: $r.id,
        unit: (if ($rooms | length) > 1 then .id else null end),
        rest: true,
        listing_id: .id,
        status: ($r.reservation_status.current.category | class_by(classes)),
        pms_status: $r.reservation_status.current.category,
        guest_id: $r.guest.id,
        guest_email: $r.guest.email,
        guest_name: name_of($r.guest.first_name, $r.guest.last_name),
        guest_phone: ($r.guest.phone_numbers // [])[0],
        check_in: $r.check_in,
        check_out: $r.check_out,
        version: $version
      } | if .listing_id == null then del(.listing_id) else . end}
  else {ignore: "\(.action) is about nothing that a key depends on"} end
