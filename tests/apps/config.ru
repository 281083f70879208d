# A Rack app.
run lambda { |env|
  body = %({"client":"#{env["HTTP_X_FORWARDED_FOR"]}","pid":#{Process.pid}})
  [200, { "content-type" => "application/json", "content-length" => body.bytesize.to_s }, [body]]
}
