module {
  "about": "Mews, Connector API general webhook: official documentation. Reservations and customers are fetched.",
  "type": ["Events.Discriminator", "Action"],
  "redact": ["Data.AccessToken", "AccessToken"],
  "verify": {"method": "url-token"},
  "fetch": {
    "url": "https://api.mews.com/api/connector/v1", "auth": "body", "per_second": 2,
    "documents": {
      "reservations": {"method": "POST", "path": "/reservations/getAll/2023-06-06", "body": {"ReservationIds": "{ids}", "Limitation": {"Count": 1000}}},
      "customers": {"method": "POST", "path": "/customers/getAll", "body": {"CustomerIds": "{ids}", "Extent": {"Customers": true}, "Limitation": {"Count": 1000}}}
    }
  }
};

def classes: {
  "Confirmed": "confirmed", "Started": "checked_in", "Processed": "checked_out", "Canceled": "cancelled",
  "Inquired": "inquiry", "Optional": "pending", "Requested": "pending"
};

# Customers are known only once their reservations are: they are fetched behind them.
if .fetched.reservations then
  [.fetched.reservations[].Reservations[]?] as $reservations
  | ([$reservations[] | select(.AccountType == "Customer" or .AccountType == null) | .AccountId | values] | unique) as $accounts
  | if .fetched.customers == null and ($accounts | length) > 0 then {fetch: {kind: "customers", ids: $accounts}}
    else ([(.fetched.customers // [])[].Customers[]?] | map({(.Id): .}) | add // {}) as $customers
      | if ($reservations | length) == 0 then {ignore: "orders of services that are no stays"} else $reservations[] end
      | ($customers[.AccountId // ""] // {}) as $guest
      | {reservation: {
          reservation_id: .Id,
          listing_id: .AssignedResourceId,
          status: (.State | class_by(classes)),
          pms_status: .State,
          guest_id: .AccountId,
          guest_email: (if $guest.HasOtaEmail == true then null else $guest.Email end),
          guest_name: name_of($guest.FirstName, $guest.LastName),
          guest_phone: $guest.Phone,
          check_in: (.ScheduledStartUtc // .StartUtc),
          check_out: (.ScheduledEndUtc // .EndUtc),
          version: .UpdatedUtc
        }}
    end
elif .fetched.customers then .fetched.customers[].Customers[]?
  | {guest: {guest_id: .Id, guest_email: (if .HasOtaEmail == true then null else .Email end), guest_name: name_of(.FirstName, .LastName), guest_phone: .Phone, version: .UpdatedUtc}}
elif .body.Action then
  if (.body.Action | IN("IntegrationDisabled", "IntegrationCanceled", "IntegrationDeleted")) then {disconnected: "the hotel has ended this integration at Mews"}
  else {ignore: "\(.body.Action) is about nothing that a key depends on"} end
else
  [.body.Events[]? | {kind: (.Discriminator // .Type), id: (.Value.Id // .Id)}] as $events
  | ([$events[] | select(.kind | IN("ServiceOrderUpdated", "Reservation")) | .id] | unique) as $orders
  | ([$events[] | select(.kind | IN("CustomerAdded", "CustomerUpdated")) | .id] | unique) as $customers
  | if ($orders | length) > 0 then {fetch: {kind: "reservations", ids: $orders}}
    # Customers alone: those of an order are fetched with it.
    elif ($customers | length) > 0 then {fetch: {kind: "customers", ids: $customers}}
    else {ignore: "it is about nothing that a key depends on"} end
end
