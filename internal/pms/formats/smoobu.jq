module {
  "about": "Smoobu: reconstructed from public clients; no official text of the webhook is available.",
  "type": ["action"],
  "verify": {"method": "url-token"}
};

.body | obj
| (.action | word) as $action
| (.data | obj) as $r
| if $action | endswith("reservation") or (. == "" and ($r.type | nonempty) != null) | not then {ignore: "\(.action) is about nothing that a key depends on"}
  else {reservation: ({
    reservation_id: ($r.id | id),
    listing_id: ($r.apartment | room_of(.id)),
    status: (if ($action | IN("cancelreservation", "deletereservation")) or ($r.type | str | ascii_downcase) == "cancellation" then "cancelled"
      elif $r["is-blocked-booking"] | is_true then "block"
      elif $r.type == null then "confirmed"
      else $r.type | class_by({"reservation": "confirmed", "modification of booking": "confirmed"}) end),
    pms_status: ($r.type // .action),
    guest_id: ($r.guestId | id),
    guest_email: $r.email,
    guest_name: first_nonempty($r["guest-name"], name_of($r.firstname, $r.lastname)),
    guest_phone: $r.phone,
    guest_language: $r.language,
    check_in: local($r.arrival; $r["check-in"]),
    check_out: local($r.departure; $r["check-out"]),
    gates: {paid: ($r["price-paid"] | gate_of_flag)},
    version: $r.modifiedAt
  } | keeps_room)} end
