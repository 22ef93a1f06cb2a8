package writeback_test

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// guesty answers as Guesty does: reservations whose ids begin with 7 are known to the old routes only.
func guesty(f *fake, w http.ResponseWriter, r call) {
	f.must(r.header.Get("Authorization") == "Bearer the-oauth-token", "authorization %q", r.header.Get("Authorization"))
	v3 := strings.HasPrefix(r.Path, "/reservations-v3/")
	id, rest, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(r.Path, "/reservations-v3/"), "/reservations/"),
		"/")
	if !f.known(id) || v3 && strings.HasPrefix(id, "7") {
		answer(w, http.StatusNotFound, map[string]any{"error": map[string]any{
			"code":    "NOT_FOUND",
			"message": "Reservation not found",
		}})
		return
	}
	switch {
	case rest == "custom-fields":
		f.guestyCustom(w, r, id, v3)
	case r.Method == http.MethodPut && rest == "notes":
		f.change(id, "keyCode", text(object(object(r.body)["notes"])["keyCode"]))
		answer(w, http.StatusOK, map[string]any{"reservationId": id})
	case r.Method == http.MethodPut:
		f.change(id, "keyCode", text(object(r.body)["keyCode"]))
		answer(w, http.StatusOK, map[string]any{"_id": id})
	case v3:
		answer(w, http.StatusOK, map[string]any{"_id": id, "notes": map[string]any{"keyCode": f.fields[id+" keyCode"]}})
	default:
		answer(w, http.StatusOK, map[string]any{"_id": id, "keyCode": f.fields[id+" keyCode"]})
	}
}

func (f *fake) guestyCustom(w http.ResponseWriter, r call, id string, v3 bool) {
	sent := list(r.body)
	if !v3 {
		sent = list(object(r.body)["customFields"])
	}
	for _, v := range sent {
		value, isText := object(v)["value"].(string)
		f.must(isText, "the value of a custom field is %T", object(v)["value"])
		f.change(id, "custom:"+text(object(v)["fieldId"]), value)
	}
	fields := []any{map[string]any{"fieldId": "other", "value": true}}
	for key, value := range f.fields {
		if custom, is := strings.CutPrefix(key, id+" custom:"); is {
			fields = append(fields, map[string]any{"_id": "x", "fieldId": custom, "value": value})
		}
	}
	if v3 {
		answer(w, http.StatusOK, map[string]any{"reservationId": id, "customFields": fields})
		return
	}
	answer(w, http.StatusOK, fields)
}

// ownerrez answers as OwnerRez's fields do: each value is an object of its own.
func ownerrez(f *fake, w http.ResponseWriter, r call) {
	f.must(r.header.Get("Authorization") == "Bearer the-token", "authorization %q", r.header.Get("Authorization"))
	shown := func(id string) map[string]any {
		i := f.items[id]
		return map[string]any{
			"id": json.Number(id), "field_definition_id": json.Number(i.field),
			"entity_id": json.Number(i.booking), "value": i.text,
		}
	}
	id, one := strings.CutPrefix(r.Path, "/fields/")
	switch {
	case r.Method == http.MethodGet:
		items := []any{map[string]any{"id": 1, "field_definition_id": 5, "value": "theirs"}}
		for id, i := range f.items {
			if i.booking == r.query["entity_id"] {
				items = append(items, shown(id))
			}
		}
		answer(w, http.StatusOK, map[string]any{"items": items})
	case r.Method == http.MethodPost:
		sent := object(r.body)
		f.nextItem++
		id, booking := strconv.Itoa(100+f.nextItem), text(sent["entity_id"])
		f.must(sent["entity_type"] == "booking", "entity_type %v", sent["entity_type"])
		f.items[id] = item{booking, text(sent["field_definition_id"]), ""}
		f.changeItem(id, text(sent["value"]))
		answer(w, http.StatusCreated, shown(id))
	case r.Method == http.MethodPatch && one:
		f.changeItem(id, text(object(r.body)["value"]))
		answer(w, http.StatusOK, shown(id))
	case r.Method == http.MethodDelete && id == "bydefinition":
		for id, i := range f.items {
			if i.booking == r.query["entity_id"] && i.field == r.query["field_definition_id"] {
				f.changeItem(id, "")
				delete(f.items, id)
			}
		}
		w.WriteHeader(http.StatusNoContent)
	default:
		answer(w, http.StatusNotFound, map[string]any{"messages": []any{"not found"}})
	}
}

// changeItem changes an object that is a field.
func (f *fake) changeItem(id, value string) {
	i := f.items[id]
	f.change(i.booking, i.field, value)
	i.text = f.fields[i.booking+" "+i.field]
	f.items[id] = i
}

// mews answers as Mews' notes do: there may be any number of them, and credentials are in the body.
func mews(f *fake, w http.ResponseWriter, r call) {
	body := object(r.body)
	f.must(body["ClientToken"] == "the-client-token" && body["AccessToken"] == "the-access-token", "credentials %v",
		body)
	shown := func(booking string) []any {
		notes := []any{}
		for id, i := range f.items {
			if i.booking == booking {
				notes = append(notes, map[string]any{"Id": id, "OrderId": booking, "Text": i.text, "Type": "General"})
			}
		}
		return notes
	}
	note := func(id, value string) {
		i := f.items[id]
		f.change(i.booking, "note", strings.TrimPrefix(value, "[staykey] "))
		if i.text = value; f.deaf {
			i.text = "[staykey] something else"
		}
		f.items[id] = i
	}
	switch r.Path {
	case "/serviceOrderNotes/getAll":
		booking := text(list(body["ServiceOrderIds"])[0])
		answer(w, http.StatusOK, map[string]any{"ServiceOrderNotes": append(shown(booking),
			map[string]any{"Id": "theirs", "Text": "late arrival"})})
	case "/serviceOrderNotes/add":
		sent := object(list(body["ServiceOrderNotes"])[0])
		f.nextItem++
		id := "note-" + strconv.Itoa(f.nextItem)
		f.items[id] = item{booking: text(sent["ServiceOrderId"])}
		note(id, text(sent["Text"]))
		answer(w, http.StatusOK, map[string]any{"ServiceOrderNotes": shown(text(sent["ServiceOrderId"]))})
	case "/serviceOrderNotes/update":
		sent := object(list(body["ServiceOrderNoteUpdates"])[0])
		id := text(sent["ServiceOrderNoteId"])
		note(id, text(object(sent["Text"])["Value"]))
		answer(w, http.StatusOK, map[string]any{"ServiceOrderNotes": shown(f.items[id].booking)})
	case "/serviceOrderNotes/delete":
		for n, id := range list(body["ServiceOrderNoteIds"]) {
			if n == 0 {
				f.change(f.items[text(id)].booking, "note", "")
			}
			delete(f.items, text(id))
		}
		answer(w, http.StatusOK, map[string]any{})
	default:
		answer(w, http.StatusNotFound, map[string]any{"Message": "no such operation"})
	}
}

// cloudbeds answers as Cloudbeds does: always with 200, and a form changes a reservation.
func cloudbeds(f *fake, w http.ResponseWriter, r call) {
	f.must(r.header.Get("x-api-key") == "the-token", "x-api-key %q", r.header.Get("x-api-key"))
	if r.Method == http.MethodPut && r.Path == "/putReservation" {
		f.must(r.form["propertyID"] == "the-property", "propertyID %q", r.form["propertyID"])
		if !f.known(r.form["reservationID"]) {
			answer(w, http.StatusOK, map[string]any{"success": false, "message": "No reservation found"})
			return
		}
		f.change(r.form["reservationID"], r.form["customFields[0][customFieldName]"],
			r.form["customFields[0][customFieldValue]"])
		answer(w, http.StatusOK, map[string]any{"success": true})
		return
	}
	id := r.query["reservationID"]
	f.must(r.Path == "/getReservation" && r.query["propertyID"] == "the-property", "%s %v", r.Path, r.query)
	answer(w, http.StatusOK, map[string]any{"success": true, "data": map[string]any{
		"reservationID": id,
		"customFields": []any{
			map[string]any{"customFieldName": "pets", "customFieldValue": "no"},
			map[string]any{"customFieldName": "key_link", "customFieldValue": f.fields[id+" key_link"]},
		},
	}})
}

// apaleo answers as Apaleo does: a JSON patch, and fields without a value are left out.
func apaleo(f *fake, w http.ResponseWriter, r call) {
	f.must(r.header.Get("Authorization") == "Bearer the-oauth-token", "authorization %q", r.header.Get("Authorization"))
	id := strings.TrimPrefix(r.Path, "/booking/v1/reservations/")
	if !f.known(id) {
		answer(w, http.StatusNotFound, map[string]any{"messages": []any{"not found"}})
		return
	}
	if r.Method == http.MethodPatch {
		op := object(list(r.body)[0])
		f.must(op["op"] == "add" && text(op["value"]) != "" || op["op"] == "remove", "%v", op)
		f.change(id, strings.TrimPrefix(text(op["path"]), "/"), text(op["value"]))
		w.WriteHeader(http.StatusNoContent)
		return
	}
	shown := map[string]any{"id": id}
	for _, name := range []string{"comment", "guestComment"} {
		if value := f.fields[id+" "+name]; value != "" {
			shown[name] = value
		}
	}
	answer(w, http.StatusOK, shown)
}

// hospitable answers as Hospitable's enrichment does.
func hospitable(f *fake, w http.ResponseWriter, r call) {
	f.must(r.header.Get("Authorization") == "Bearer the-token", "authorization %q", r.header.Get("Authorization"))
	id, field, is := strings.Cut(strings.TrimPrefix(r.Path, "/reservations/"), "/enrichment/")
	if !is || r.Method != http.MethodPut || !f.known(id) {
		answer(w, http.StatusNotFound, map[string]any{"message": "Not found"})
		return
	}
	f.change(id, field, text(object(r.body)["value"]))
	answer(w, http.StatusOK, map[string]any{"data": map[string]any{"key": field}})
}

// smoobu answers as Smoobu does: names with dashes when a booking is read, and without when it is written.
func smoobu(f *fake, w http.ResponseWriter, r call) {
	f.must(r.header.Get("X-API-Key") == "the-client" && r.header.Get("X-Signature") != "" &&
		r.header.Get("X-Nonce") != "", "headers %v", r.header)
	id := strings.TrimPrefix(r.Path, "/reservations/")
	if !f.known(id) {
		answer(w, http.StatusNotFound, map[string]any{"detail": "Reservation not found"})
		return
	}
	if r.Method == http.MethodPut {
		for name, value := range object(r.body) {
			f.change(id, name, text(value))
		}
		answer(w, http.StatusOK, map[string]any{"id": json.Number(id)})
		return
	}
	answer(w, http.StatusOK, map[string]any{
		"id": json.Number(id), "notice": f.fields[id+" notice"],
		"assistant-notice": f.fields[id+" assistantNotice"],
	})
}

// lodgify answers as one of the sources about Lodgify says.
func lodgify(f *fake, w http.ResponseWriter, r call) {
	f.must(r.header.Get("X-ApiKey") == "the-token", "X-ApiKey %q", r.header.Get("X-ApiKey"))
	id := strings.TrimSuffix(strings.TrimPrefix(r.Path, "/v2/reservations/bookings/"), "/keyCodes")
	codes, is := object(r.body)["key_codes"].([]any)
	f.must(is && r.Method == http.MethodPut, "%s %v", r.Method, r.body)
	value := ""
	if len(codes) > 0 {
		value = text(codes[0])
	}
	f.change(id, "key_codes", value)
	answer(w, http.StatusOK, map[string]any{})
}

// hostfully answers as Hostfully's custom data does: a value belongs to a lead or to a property, and a change answers
// nothing that can be read.
func hostfully(f *fake, w http.ResponseWriter, r call) {
	f.must(r.header.Get("X-HOSTFULLY-APIKEY") == "the-token", "X-HOSTFULLY-APIKEY %q",
		r.header.Get("X-HOSTFULLY-APIKEY"))
	f.must(r.Path == "/custom-data", "path %q", r.Path)
	lead := r.query["leadUid"]
	if lead == "" {
		lead = text(object(r.body)["leadUid"])
	}
	if !f.known(lead) {
		answer(w, http.StatusNotFound, map[string]any{"apiErrorMessage": "Lead not found"})
		return
	}
	switch r.Method {
	case http.MethodPost:
		f.must(len(object(r.body)) == 3, "body %v", r.body)
		f.change(lead, text(object(r.body)["customDataFieldUid"]), text(object(r.body)["text"]))
		answer(w, http.StatusOK, map[string]any{})
	case http.MethodDelete:
		f.change(lead, r.query["customDataFieldUid"], "")
		w.WriteHeader(http.StatusOK)
	default:
		entry := func(leadUID, propertyUID any, field, value string) map[string]any {
			return map[string]any{
				"leadUid": leadUID, "propertyUid": propertyUID, "unitUid": nil, "text": value,
				"customDataField": map[string]any{"uid": field, "type": "TEXT", "name": field, "variable": field},
			}
		}
		entries := []any{entry(nil, "a-property", "4f1c-key-link", "the property's own")}
		for key, value := range f.fields {
			if booking, field, _ := strings.Cut(key, " "); booking == lead && value != "" {
				entries = append(entries, entry(lead, nil, field, value))
			}
		}
		answer(w, http.StatusOK, map[string]any{
			"customData": entries, "_metadata": map[string]any{"count": len(entries)},
		})
	}
}
