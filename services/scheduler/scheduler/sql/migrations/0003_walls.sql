-- No account asks the scheduler anything: it has no API but for probes, and the API's role may do nothing here.
COMMENT ON TABLE ended_campaigns IS 'no wall: out of the API''s reach';
COMMENT ON TABLE held            IS 'no wall: out of the API''s reach';
COMMENT ON TABLE clocks          IS 'no wall: times';
COMMENT ON TABLE watermark       IS 'no wall: a time';
