-- Cleaned invoice lines (`records`) in, one row per customer known at $as_of out.
--
-- A customer is known who made a purchase that still stood at $as_of. `buys_again` says whether another
-- follows within 90 days; where `records` end at $as_of, as when the model is used, it means nothing.
-- All other columns read only records before $as_of, and only the customer's own.
-- Money is summed in whole pence, gaps in whole days: integer sums do not depend on their order.

with lines as (
    select
        CustomerID, Country, InvoiceNo, InvoiceDate, StockCode, UnitPrice,
        abs(Quantity)::bigint as pieces,
        Quantity < 0 as is_cancellation,
        (100 * abs(Quantity) * UnitPrice)::bigint as pence,
        epoch($as_of::timestamp - InvoiceDate) / 86400 as days_ago,
        days_ago <= 0 as is_later
    from records
    where days_ago > -90
      -- Products only: other codes are postage, fees, discounts, samples and manual corrections.
      and regexp_matches(StockCode, '^([0-9]{5}|DCGS|gift_)')
      -- A negative quantity outside a cancelled order is a stock loss: nobody's purchase or return.
      and (Quantity < 0) = starts_with(InvoiceNo, 'C')
      and abs(Quantity) >= 1
),

-- A cancellation names no invoice. We take it to undo the latest purchase of the same customer,
-- product and quantity that is still open, as a bracket closes: a purchase adds one to a balance,
-- a cancellation takes one off, and a purchase is undone where the balance later falls below its own.
-- So a line sold twice and cancelled once was sold once. Part returns find no match: the purchase
-- stands. Before and after $as_of are matched apart: a later cancellation cannot reach a feature, and
-- what is bought in the 90 days and cancelled in them does not count as bought again.
balanced as (
    select *, sum(if(is_cancellation, -1, 1)) over same_item as balance
    from lines
    window same_item as (
        partition by CustomerID, StockCode, pieces, is_later
        order by InvoiceDate, is_cancellation, InvoiceNo, UnitPrice
        rows unbounded preceding)
),

matched as (
    select
        *,
        -- Cancellations alone: equal lines may come in another order here than they did above.
        min(balance) filter (where is_cancellation) over later as lowest_balance,
        not is_cancellation and coalesce(lowest_balance >= balance, true) as is_kept
    from balanced
    window later as (
        partition by CustomerID, StockCode, pieces, is_later
        order by InvoiceDate, is_cancellation, InvoiceNo, UnitPrice
        rows between 1 following and unbounded following)
),

past as (select * from matched where not is_later),

purchases as (
    select
        CustomerID,
        last(Country order by InvoiceDate, InvoiceNo, Country) as Country,
        min(days_ago) as recency_days,
        max(days_ago) as tenure_days,
        count(distinct InvoiceNo) as orders,
        count(distinct InvoiceNo) filter (where days_ago <= 30) as orders_30d,
        count(distinct InvoiceNo) filter (where days_ago <= 90) as orders_90d,
        count(distinct InvoiceNo) filter (where days_ago <= 180) as orders_180d,
        count(distinct date_trunc('month', InvoiceDate)) as active_months,
        sum(pence) / 100 as spend,
        coalesce(sum(pence) filter (where days_ago <= 90), 0) / 100 as spend_90d,
        spend / orders as spend_per_order,
        sum(pieces) as units,
        spend / units as mean_price,
        count(distinct StockCode) as products,
        count(distinct (InvoiceNo, StockCode)) as order_products,
        order_products / orders as products_per_order,
        1 - products / order_products as repeated_share
    from past
    where is_kept
    group by CustomerID
),

-- The customer's own rhythm. One who bought on a single day has none: NULL.
gaps as (
    select CustomerID, day, day - lag(day) over (partition by CustomerID order by day) as gap_days
    from (select distinct CustomerID, InvoiceDate::date as day from past where is_kept)
),

rhythms as (
    select
        CustomerID,
        count(*) as active_days,
        avg(gap_days) as mean_gap_days,
        max(gap_days) as longest_gap_days,
        last(gap_days order by day) as last_gap_days
    from gaps
    group by CustomerID
),

cancellations as (
    select
        CustomerID,
        count(*) filter (where is_cancellation) / count(*) as cancelled_share,
        count(distinct InvoiceNo) filter (where is_cancellation) as cancelled_orders
    from past
    group by CustomerID
),

buyers as (select distinct CustomerID from matched where is_later and is_kept)

select
    CustomerID,
    Country,
    -- One type for all numbers: the counts above are BIGINT and HUGEINT.
    columns(* exclude (CustomerID, Country, order_products))::double,
    recency_days / mean_gap_days as overdue_ratio,
    if(CustomerID in (from buyers), 'yes', 'no') as buys_again
from purchases join rhythms using (CustomerID) join cancellations using (CustomerID)
order by CustomerID
