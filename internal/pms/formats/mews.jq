module {
  "about": "Mews, Connector API general webhook: official documentation. Reservations and customers are fetched.",
  "type": ["Events.Discriminator", "Action"],
  "redact": ["Data.AccessToken", "AccessToken"],
  "verify": {"method": "url-token"},
  "fetch": {
    "url": "https://api.mews.com/api/connector/v1", "auth": "body", "per_second": 2,
    "documents": {
      "reservations": {"method": "POST", "path": "/reservations/getAll/2023-06-06", "body": {"ReservationIds": "{ids}", "Limitation": {"Count": 1000}}},
      "customers": {"method": "POST", "path": "/customers/getAll", "body": {"CustomerIds": "{ids}", "Extent": {"Customers": true}, "Limitation": {"Count": 1000}}},
      "updated_customers": {"method": "POST", "path": "/customers/getAll", "body": {"CustomerIds": "{ids}", "Extent": {"Customers": true}, "Limitation": {"Count": 1000}}},
      "merged_customers": {"method": "POST", "path": "/customers/getAll", "body": {"CustomerIds": "{ids}", "Extent": {"Customers": true}, "Limitation": {"Count": 1000}}}
    }
  }
};

def classes: {
  "Confirmed": "confirmed", "Started": "checked_in", "Processed": "checked_out", "Canceled": "cancelled",
  "Inquired": "inquiry", "Optional": "pending", "Requested": "pending"
};

# One request names at most a thousand.
def ask(kind; more): map(id) | (map(select(type == "string")) | unique) as $ids
  | (range(0; $ids | length; 1000) | $ids[.:. + 1000] | {fetch: ({kind: kind, ids: .} + more)}),
    # One without an id is for staykey to refuse.
    (if length > 0 and all(type == "string") then empty else {fetch: {kind: kind, id: null}} end);

def all_of(documents; key): [documents | list[] | obj | .[key] | list[] | select(type == "object")];

def by_id: map(select(.Id | type == "string") | {key: .Id, value: .}) | from_entries;

def address: if .HasOtaEmail == true then null else .Email end;

def order($customers): ((.AccountId | str) as $account | $customers[$account] // {}) as $guest
  | (.State | class_by(classes)) as $class
  | {reservation: {
      reservation_id: .Id,
      listing_id: .AssignedResourceId,
      status: (if $class == "cancelled" and .CancellationReason == "NoShow" then "no_show" else $class end),
      pms_status: .State,
      guest_id: .AccountId,
      guest_email: ($guest | address),
      guest_name: name_of($guest.FirstName, $guest.LastName),
      guest_phone: $guest.Phone,
      check_in: (.ScheduledStartUtc // .StartUtc),
      check_out: (.ScheduledEndUtc // .EndUtc),
      checked_in_at: (if $class == "checked_in" then .ActualStartUtc // .StartUtc else null end),
      gates: {checked_in: gate_of_check_in($class)},
      version: .UpdatedUtc
    }};

# A customer who was merged into another has that one's address.
def customer($all): ($all[.MergeTargetId | str] // .) as $by
  | {guest: {guest_id: .Id, guest_email: ($by | address), guest_name: ($by | name_of(.FirstName, .LastName)), guest_phone: $by.Phone, version: .UpdatedUtc}};

# The ids of what a webhook names, of some kinds.
def named(kinds): [.body | obj | .Events | list[] | obj | select(kinds[.Discriminator // .Type | word]) | (.Value | obj | .Id) // .Id];
def named_orders: named({"serviceorderupdated": true, "reservation": true});

(.fetched | obj) as $f
| if .fetched == null and (.body | obj | .Action) then .body
  | if (.Action | word | IN("integrationdisabled", "integrationcanceled", "integrationdeleted")) then {disconnected: "the hotel has ended this integration at Mews"}
    else {ignore: "\(.Action) is about nothing that a key depends on"} end
elif .fetched == null then
  named_orders as $orders
  | named({"customeradded": true, "customerupdated": true}) as $customers
  | if ($orders | length) + ($customers | length) == 0 then {ignore: "it is about nothing that a key depends on"}
    else ($orders | select(length > 0) | ask("reservations"; {reservation_ids: .})),
      ($customers | select(length > 0) | if ($orders | length) == 0 then ask("customers"; null) else ask("updated_customers"; {optional: true}) end) end
# An answer without its list says nothing: it is asked for again.
elif any(if $f.reservations then $f.reservations[] | obj.Reservations else $f.customers | list[] | obj.Customers end; type != "array") then empty
else
  all_of($f.reservations; "Reservations") as $orders
  | all_of($f.customers, $f.updated_customers, $f.merged_customers; "Customers") as $known
  | ($known | by_id) as $by_id
  # Only customers that were updated on their own: the customers of orders are reported with their orders.
  | (if $f.reservations then all_of($f.updated_customers; "Customers") else all_of($f.customers; "Customers") end) as $updated
  | [$orders[] | select(.AccountType == "Customer" or .AccountType == null) | .AccountId | select(type == "string") | select($by_id[.] == null)] as $missing
  | [$updated[].MergeTargetId | select(type == "string") | select($by_id[.] == null)] as $merged
  # An order that isn't in the answer belongs to a service other than a stay, or the answer comes from a lagging replica.
  | (if $f.reservations then named_orders - [$orders[].Id] else [] end) as $absent
  | (if any($absent[]; id | type == "string") then {recheck: "the PMS's answer lacks orders that the webhook names"}
    else null end) as $lags
  # Customers are known only once their reservations are: they are fetched after them. An order is worth its key without.
  | if $f.customers == null and ($missing | length) > 0 then $missing | ask("customers"; {optional: true})
    elif $f.merged_customers == null and ($merged | length) > 0 then $merged | ask("merged_customers"; {optional: true})
    elif ($orders | length) + ($updated | length) == 0 then {ignore: "orders of services other than stays"}, ($lags | values)
    else ($orders[] | order($by_id)), ($updated[] | customer($by_id)), ($lags | values),
      # One without an id is for staykey to refuse.
      (if any($absent[]; id | type != "string") then {reservation: {reservation_id: null, status: "other"}} else empty end) end
end
