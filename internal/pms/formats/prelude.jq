# What every program may use besides jq's own functions.

# What a PMS sends may have another type than it documents. These never fail: a value of another type has nothing in it.
def obj: if type == "object" then . else {} end;
def list: if type == "array" then . else [] end;
def str: if type == "string" then . else "" end;

# A word that tells kinds of events apart, whatever case it has.
def word: str | ascii_downcase;

# A text that isn't empty or blank, else null. A value of another type stays.
def nonempty: if type == "string" and (test("\\S") | not) then null else . end;

# The first of the inputs that is neither empty nor blank, else null.
def first_nonempty(candidates): first(candidates | nonempty | values) // null;

# An id, whether it came as a text or a number (7.0 is 7); null where there is none. A value of another type stays, for staykey to refuse.
def id: if . == "" then null elif type == "number" then tostring | rtrimstr(".0") else . end;

# The first of the inputs that looks like an id, else the last that is not null: that is for staykey to refuse.
def first_id(candidates): [candidates | id | values] | first(.[] | select(type == "string" and test("^[!-~]+$"))) // last;

# The id of a room: no PMS has a room 0.
def room: if . == 0 or . == "0" then null else id end;

# The id of an object that is given by its id, or as a whole.
def room_of(key): if type == "object" then key else . end | room;

# Whether a flag is set, however it is written.
def is_true: . == true or . == 1 or (str | ascii_downcase | IN("true", "1", "yes"));

# A name from its parts; null where all are missing. Parts of another type stay, for staykey to refuse.
def name_of(parts): [parts | nonempty | values] as $parts | try ($parts | join(" ") | nonempty) catch $parts;

# What ends a stay in any PMS's words, however it is written: "Canceled", "CHECKED_OUT", "no-show".
def end_of_stay: ascii_downcase | gsub("[\\s_-]+"; "")
  | {"cancelled": "cancelled", "canceled": "cancelled", "noshow": "no_show", "checkedout": "checked_out",
    "declined": "cancelled", "deleted": "cancelled"}[.];

# What a table has for a text, else "other": a status that the table doesn't have is never guessed at, unless it plainly ends a stay.
def class_by(table): table[str] // (str | if . == "" then null else end_of_stay end) // "other";

# Whether a class takes a key away.
def takes_away: IN("cancelled", "no_show", "checked_out");

# A reservation that doesn't say its room keeps the one it has; listing_id null says that it has none.
def keeps_room: if .listing_id == null then del(.listing_id) else . end;

# An hour of the day; numbers are hours.
def hour: nonempty;

# The date of a text; anything else stays, for staykey to refuse.
def day: if type != "string" then . elif startswith(" ") then sub("^ +"; "")[0:10] else .[0:10] end;

# A local date, with a time of day and a time zone where they are known.
def local(date; time; zone): date as $date | if $date == null or $date == "" then null
  else {date: ($date | day), time: (time | hour), time_zone: (zone | nonempty)} end;
def local(date; time): local(date; time; null);

# Gates. Each gives open or closed, or null if the PMS says nothing: then the gate is unchanged.

# A flag: true, false, 1, 0, "yes", "no".
def gate_of_flag: if is_true then "open" elif . == false or . == 0 or (str | ascii_downcase | IN("false", "0", "no")) then "closed" else null end;

# What is still to be paid.
def gate_of_balance: (if type == "string" then (try tonumber catch null) else . end)
  | if type != "number" then null elif . < 0.005 then "open" else "closed" end;

# Whether a guest has checked in, at a PMS that knows.
def gate_of_check_in(class): {"checked_in": "open", "confirmed": "closed"}[class | str];
