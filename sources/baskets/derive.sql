-- Cleaned invoice lines (`records`) in, one row per customer known at $as_of out: what they have bought, what they buy next.
--
-- A customer is known who bought a product before $as_of. `past_items` are the products bought until then, each
-- once, the one bought last at the end; `next_items` those bought in the 30 days from $as_of on. All other
-- columns read only records before $as_of. Who buys nothing in the 30 days has no `next_items`, except who bought
-- within the 30 days before: an empty list, so that this last basket too tells the models what goes together.
-- Cancellations are left aside: what was sent back had been wanted.

with lines as (
    select
        CustomerID, Country, InvoiceNo, InvoiceDate,
        upper(StockCode) as item,  -- 85123a and 85123A are one product
        epoch($as_of::timestamp - InvoiceDate) / 86400 as days_ago
    from records
    where days_ago > -30
      and Quantity > 0
      and not starts_with(InvoiceNo, 'C')
      -- Products only: other codes are postage, fees, discounts, samples and manual corrections.
      and regexp_matches(StockCode, '^([0-9]{5}|DCGS|gift_)')
),

bought as (
    select CustomerID, item, max(InvoiceDate) as bought_at, count(distinct InvoiceNo) as orders, days_ago <= 0 as is_next
    from lines
    group by all
),

past as (
    select
        CustomerID,
        last(Country order by InvoiceDate, InvoiceNo, Country) as Country,
        min(days_ago) as recency_days,
        max(days_ago) as tenure_days,
        count(distinct InvoiceNo) as orders
    from lines
    where days_ago > 0
    group by CustomerID
),

items as (
    select
        CustomerID,
        list(item order by bought_at, item) filter (where not is_next) as past_items,
        list(item order by item) filter (where is_next) as next_items
    from bought
    group by CustomerID
)

select
    CustomerID,
    Country,
    recency_days::double as recency_days,
    tenure_days::double as tenure_days,
    orders::double as orders,
    past_items,
    -- The season moves: what was learnt 30 days before counts twice what was learnt 60 days before.
    power(0.5, (epoch(timestamp '2012-01-01') - epoch($as_of::timestamp)) / 86400 / 30) as weight,
    coalesce(next_items, if(recency_days <= 30, [], null)) as next_items
from past join items using (CustomerID)
order by CustomerID
