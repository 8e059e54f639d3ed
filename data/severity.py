"""How bad a finding about data is: fine, worth knowing, or a reason not to use the data."""

OK, WARN, FAIL = "ok", "warn", "fail"
