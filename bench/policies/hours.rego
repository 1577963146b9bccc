# METADATA
# description: When a team may call, in its own time zone, with quiet days and exceptions.
package bench.hours

default decision := {"allow": false, "reason": "outside the window"}

calendar := data.calendars[data.teams[input.caller.team].calendar]

moment := [input.time.ns, calendar.tz]

clock := time.clock(moment)

minute := (clock[0] * 60) + clock[1]

weekday := time.weekday(moment)

day := sprintf("%04d-%02d-%02d", time.date(moment))

holiday if day in calendar.holidays

open_window contains window.name if {
	some window in calendar.windows
	weekday in window.days
	minute >= window.from
	minute < window.to
}

exception if {
	some granted in data.exceptions
	granted.user == input.caller.user
	granted.from_ns <= input.time.ns
	input.time.ns < granted.to_ns
}

batch if {
	input.request.batch
	minute < calendar.batch_until
}

decision := {"allow": true, "windows": sort([name | some name in open_window])} if {
	count(open_window) > 0
	not holiday
} else := {"allow": true, "windows": ["exception"]} if {
	exception
} else := {"allow": true, "windows": ["batch"]} if {
	batch
} else := {"allow": false, "reason": sprintf("%s is a holiday", [day])} if {
	holiday
}
