# What every program may use besides jq's own functions.

# A text that says something, else null.
def said: if type == "string" and (test("\\S") | not) then null else . end;

# The first of the inputs that says something, else null.
def first_said(candidates): first(candidates | said | values) // null;

# An id, whether it came as a text or a number; null where there is none.
def id: if . == null or . == "" then null else tostring end;

# A name from its parts; null where all are missing.
def name_of(parts): [parts | said | values] | join(" ") | said;

# What a table has for a text, else "other": a status that nobody has told us of is never guessed at.
def class_by(table): table[. // "" | tostring] // "other";

# An hour as a number, as a time of day: 16 is "16:00". A text stays as it is.
def hour: if type == "number" then "\(.):00" else said end;

# A local date, with a time of day and a time zone where they are known.
def local(date; time; zone): if date == null or date == "" then null else {date: (date | tostring | .[0:10]), time: (time | hour), time_zone: (zone | said)} end;
def local(date; time): local(date; time; null);
