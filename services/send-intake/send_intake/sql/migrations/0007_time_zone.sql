-- The time zone in which T was given, by its name: pages show T there, too. From CampaignCreated.
ALTER TABLE campaigns ADD COLUMN time_zone text;
